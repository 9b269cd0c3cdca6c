package zuul

import "net/http"

type info struct {
	Capabilities capabilities `json:"capabilities"`
	Stats        stats        `json:"stats"`
	WebsocketURL *string      `json:"websocket_url"`
	Tenant       string       `json:"tenant,omitempty"`
}

type capabilities struct {
	JobHistory bool `json:"job_history"`
	Auth       auth `json:"auth"`
}

type auth struct {
	Realms        struct{} `json:"realms"`
	DefaultRealm  *string  `json:"default_realm"`
	ReadProtected bool     `json:"read_protected"`
}

type stats struct {
	URL    *string `json:"url"`
	Prefix *string `json:"prefix"`
	Type   string  `json:"type"`
}

// info is GET /api/info, and the same with the tenant below a tenant.
func (a *api) info(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Cache-Control", "public, max-age=3600")
	w.Header().Set("Last-Modified", a.began.UTC().Format(http.TimeFormat))
	return writeJSON(w, struct {
		Info info `json:"info"`
	}{info{capabilities{JobHistory: true}, stats{Type: "graphite"}, nil, r.PathValue("tenant")}})
}

func (a *api) tenants(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, []struct {
		Name string `json:"name"`
	}{{a.Tenant}})
}

type queueLength struct {
	Length int `json:"length"`
}

// status is GET …/status: a history has no queue, ever.
func (a *api) status(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, struct {
		Pipelines       []struct{}  `json:"pipelines"`
		Triggers        queueLength `json:"trigger_event_queue"`
		Management      queueLength `json:"management_event_queue"`
		LastReconfigure int64       `json:"last_reconfigured"`
		Version         string      `json:"zuul_version"`
	}{Pipelines: []struct{}{}, Version: "vitrine"})
}

func (a *api) tenantStatus(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, struct {
		Errors int `json:"config_error_count"`
	}{})
}
