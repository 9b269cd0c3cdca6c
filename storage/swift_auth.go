package storage

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/ncw/swift/v2"
)

const (
	connectTimeout = 10 * time.Second
	loginTimeout   = 30 * time.Second
	maxCatalog     = 4 << 20 // bytes of Keystone's answer
)

// A swiftLogin says who we are and to whom. Its fields are named as in clouds.yaml.
type swiftLogin struct {
	AuthType  string         `yaml:"auth_type"`
	Auth      swiftLoginAuth `yaml:"auth"`
	Region    string         `yaml:"region_name"`
	Interface string         `yaml:"interface"`
	Endpoint  string         `yaml:"endpoint_type"` // an older name of it
	CACert    string         `yaml:"cacert"`
	Verify    *bool          `yaml:"verify"`
	Profile   string         `yaml:"profile"`
}

type swiftLoginAuth struct {
	AuthURL           string `yaml:"auth_url"`
	Username          string `yaml:"username"`
	UserID            string `yaml:"user_id"`
	Password          string `yaml:"password"`
	ProjectName       string `yaml:"project_name"`
	ProjectID         string `yaml:"project_id"`
	TenantName        string `yaml:"tenant_name"` // older names of them
	TenantID          string `yaml:"tenant_id"`
	UserDomainName    string `yaml:"user_domain_name"`
	UserDomainID      string `yaml:"user_domain_id"`
	ProjectDomainName string `yaml:"project_domain_name"`
	ProjectDomainID   string `yaml:"project_domain_id"`
	DefaultDomain     string `yaml:"default_domain"`
	CredentialID      string `yaml:"application_credential_id"`
	CredentialName    string `yaml:"application_credential_name"`
	CredentialSecret  string `yaml:"application_credential_secret"`
	// The names of v1 auth, in auth_type v1password.
	User string `yaml:"user"`
	Key  string `yaml:"key"`
}

// findSwiftLogin finds the credentials: those of a cloud, by its name or by
// OS_CLOUD, from clouds.yaml; else those of ST_AUTH; else those of OS_AUTH_URL.
func findSwiftLogin(cloud string) (*swiftLogin, error) {
	if cloud == "" {
		cloud = os.Getenv("OS_CLOUD")
	}
	if cloud != "" {
		return readClouds(cloud)
	}
	if auth, user, key := os.Getenv("ST_AUTH"), os.Getenv("ST_USER"), os.Getenv("ST_KEY"); auth != "" && user != "" && key != "" {
		return &swiftLogin{AuthType: "v1password", Auth: swiftLoginAuth{AuthURL: auth, Username: user, Password: key}}, nil
	}
	first := func(names ...string) string {
		for _, name := range names {
			if value := os.Getenv(name); value != "" {
				return value
			}
		}
		return ""
	}
	login := &swiftLogin{
		AuthType:  os.Getenv("OS_AUTH_TYPE"),
		Region:    os.Getenv("OS_REGION_NAME"),
		Interface: first("OS_INTERFACE", "OS_ENDPOINT_TYPE"),
		CACert:    os.Getenv("OS_CACERT"),
		Auth: swiftLoginAuth{
			AuthURL:           os.Getenv("OS_AUTH_URL"),
			Username:          os.Getenv("OS_USERNAME"),
			UserID:            os.Getenv("OS_USER_ID"),
			Password:          os.Getenv("OS_PASSWORD"),
			ProjectName:       first("OS_PROJECT_NAME", "OS_TENANT_NAME"),
			ProjectID:         first("OS_PROJECT_ID", "OS_TENANT_ID"),
			UserDomainName:    os.Getenv("OS_USER_DOMAIN_NAME"),
			UserDomainID:      os.Getenv("OS_USER_DOMAIN_ID"),
			ProjectDomainName: os.Getenv("OS_PROJECT_DOMAIN_NAME"),
			ProjectDomainID:   os.Getenv("OS_PROJECT_DOMAIN_ID"),
			DefaultDomain:     os.Getenv("OS_DEFAULT_DOMAIN"),
			CredentialID:      os.Getenv("OS_APPLICATION_CREDENTIAL_ID"),
			CredentialName:    os.Getenv("OS_APPLICATION_CREDENTIAL_NAME"),
			CredentialSecret:  os.Getenv("OS_APPLICATION_CREDENTIAL_SECRET"),
		},
	}
	if login.Auth.AuthURL == "" {
		return nil, errors.New("no credentials: set OS_CLOUD (with clouds.yaml), or OS_AUTH_URL and its companions, or ST_AUTH, ST_USER and ST_KEY")
	}
	return login, nil
}

// connection checks what was found, and says it in the words of the client.
func (l *swiftLogin) connection() (*swift.Connection, error) {
	a := l.Auth
	u, err := url.Parse(a.AuthURL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		return nil, errors.New("credentials: auth_url (OS_AUTH_URL, ST_AUTH) is not an http(s) URL")
	}
	path := strings.TrimRight(u.Path, "/")
	or := func(value, other string) string {
		if value == "" {
			return other
		}
		return value
	}
	c := &swift.Connection{AuthUrl: strings.TrimRight(a.AuthURL, "/"), Retries: -1, UserAgent: "vitrine", ConnectTimeout: 2 * loginTimeout, Region: l.Region}
	if l.AuthType == "v1password" || strings.HasSuffix(path, "/v1.0") || strings.HasSuffix(path, "/v1") {
		c.AuthVersion, c.UserName, c.ApiKey = 1, or(a.Username, a.User), or(a.Password, a.Key)
		if c.UserName == "" || c.ApiKey == "" {
			return nil, errors.New("credentials: v1 auth wants a user and a key")
		}
		return c, nil
	}
	c.AuthVersion = 3
	if strings.HasSuffix(path, "/v2.0") {
		return nil, errors.New("credentials: Keystone v2.0 is not supported; use the auth_url that ends in /v3")
	}
	if !strings.HasSuffix(path, "/v3") {
		c.AuthUrl += "/v3"
	}
	switch endpoint := strings.TrimSuffix(or(l.Interface, l.Endpoint), "URL"); endpoint {
	case "", "public", "internal", "admin":
		c.EndpointType = swift.EndpointType(or(endpoint, "public"))
	default:
		return nil, fmt.Errorf("credentials: interface %q: want public, internal or admin", endpoint)
	}
	c.UserName, c.UserId = a.Username, a.UserID
	c.Domain, c.DomainId = a.UserDomainName, a.UserDomainID
	if c.Domain == "" && c.DomainId == "" && c.UserId == "" {
		c.DomainId = or(a.DefaultDomain, "default")
	}
	switch l.AuthType {
	case "v3applicationcredential":
		if a.CredentialSecret == "" {
			return nil, errors.New("credentials: an application credential wants its application_credential_secret")
		}
	case "", "password", "v3password":
	default:
		return nil, fmt.Errorf("credentials: auth_type %q is not supported; want password, v3applicationcredential or v1password", l.AuthType)
	}
	if a.CredentialSecret != "" {
		c.ApplicationCredentialId, c.ApplicationCredentialName, c.ApplicationCredentialSecret = a.CredentialID, a.CredentialName, a.CredentialSecret
		if a.CredentialID == "" && (a.CredentialName == "" || a.Username == "" && a.UserID == "") {
			return nil, errors.New("credentials: an application credential wants its id, or its name and a user")
		}
		return c, nil
	}
	c.ApiKey = a.Password
	c.Tenant, c.TenantId = or(a.ProjectName, a.TenantName), or(a.ProjectID, a.TenantID)
	c.TenantDomain, c.TenantDomainId = a.ProjectDomainName, a.ProjectDomainID
	if c.TenantDomain == "" && c.TenantDomainId == "" {
		c.TenantDomainId = a.DefaultDomain
	}
	if c.ApiKey == "" || c.UserName == "" && c.UserId == "" || c.Tenant == "" && c.TenantId == "" {
		return nil, errors.New("credentials: Keystone wants a user, a password and a project, or an application credential")
	}
	return c, nil
}

// A swiftSession has a token, and gets another when it ends.
type swiftSession struct {
	busy chan struct{} // holds one value while somebody uses conn
	conn *swift.Connection
}

func (l *swiftLogin) session() (*swiftSession, *http.Client, error) {
	conn, err := l.connection()
	if err != nil {
		return nil, nil, err
	}
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: connectTimeout}).DialContext,
		TLSHandshakeTimeout:   connectTimeout,
		ExpectContinueTimeout: 5 * time.Second,
		MaxIdleConnsPerHost:   16,
		IdleConnTimeout:       time.Minute,
		DisableCompression:    true, // the bytes are what a hash was made of
	}
	if l.Verify != nil && !*l.Verify {
		return nil, nil, errors.New("credentials: verify: false would let anybody answer for the store; give its certificate authority as cacert")
	}
	if l.CACert != "" {
		pem, err := os.ReadFile(l.CACert)
		pool := x509.NewCertPool()
		if err != nil {
			return nil, nil, fmt.Errorf("credentials: cacert: %w", err)
		} else if !pool.AppendCertsFromPEM(pem) {
			return nil, nil, fmt.Errorf("credentials: cacert %s: no certificate in it", l.CACert)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	conn.Transport = loginTransport{transport}
	// A token must not follow to where a redirect points.
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return &swiftSession{make(chan struct{}, 1), conn}, client, nil
}

// enter returns the account's URL and a token other than the refused one.
func (s *swiftSession) enter(ctx context.Context, refused string) (*url.URL, string, error) {
	select {
	case s.busy <- struct{}{}:
		defer func() { <-s.busy }()
	case <-ctx.Done():
		return nil, "", ctx.Err()
	}
	if err := ctx.Err(); err != nil {
		return nil, "", err
	}
	if refused != "" && s.conn.AuthToken == refused {
		s.conn.UnAuthenticate()
	}
	if !s.conn.Authenticated() {
		limited, cancel := context.WithTimeout(ctx, loginTimeout)
		defer cancel()
		if err := s.conn.Authenticate(limited); err != nil {
			return nil, "", explainLogin(ctx, err)
		}
	}
	u, err := url.Parse(strings.TrimRight(s.conn.StorageUrl, "/"))
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return nil, "", errors.New("log in: the address of the object store that is given there is not one")
	}
	return u, s.conn.AuthToken, nil
}

// explainLogin says what failed, and nothing of what was sent or came.
func explainLogin(ctx context.Context, err error) error {
	var answer *swift.Error
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("log in: %w: no answer in %s", ErrUnavailable, loginTimeout)
	case errors.As(err, &answer) && answer.StatusCode == 0:
		return errors.New("log in: no object store is offered to us there; is the region (OS_REGION_NAME) the right one?")
	case errors.As(err, &answer):
		return fmt.Errorf("log in: %w", &swiftError{status: answer.StatusCode})
	}
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
		if errors.As(err, new(*tls.CertificateVerificationError)) || errors.Is(err, errLoginRedirect) {
			return fmt.Errorf("log in: %w", wrapped.Err)
		}
		return fmt.Errorf("log in: %w: %w", ErrUnavailable, wrapped.Err)
	}
	return errors.New("log in: the answer is not one of OpenStack's")
}

// A loginTransport keeps a login from strangers, and bounds what they answer.
type loginTransport struct{ http.RoundTripper }

var errLoginRedirect = errors.New("redirected elsewhere; give the URL that it ends at")

func (t loginTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.RoundTripper.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 == 3 && resp.StatusCode != http.StatusMultipleChoices {
		resp.Body.Close()
		return nil, errLoginRedirect
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxCatalog), resp.Body}
	return resp, nil
}
