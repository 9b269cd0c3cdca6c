package storage

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"vitrine"
)

// What a browser's requests for ranges need of a bucket, as [S3.Inspect] sets it.
const s3CORS = `{"CORSRules":[{"AllowedOrigins":["*"],"AllowedMethods":["GET","HEAD"],"AllowedHeaders":["*"],` +
	`"ExposeHeaders":["Accept-Ranges","Content-Length","Content-Range","ETag"],"MaxAgeSeconds":3600}]}`

// Inspect is [Inspector.Inspect].
func (s *S3) Inspect(ctx context.Context) []Finding {
	return []Finding{
		s.inspectCORS(ctx), s.inspectLifecycle(ctx), s.inspectConditions(), s.inspectSigning(ctx),
		s.inspectVersions(ctx), s.inspectAccess(ctx),
	}
}

// command is a command of Amazon's client that changes the bucket.
func (s *S3) command(name string, rest string) string {
	return "aws s3api " + name + " --bucket " + s.bucket + s.endpointFlag() + rest
}

func (s *S3) inspectCORS(ctx context.Context) Finding {
	f := Finding{What: "CORS", Fix: s.command("put-bucket-cors", " --cors-configuration '"+s3CORS+"'")}
	out, err := s.client.GetBucketCors(ctx, &s3.GetBucketCorsInput{Bucket: &s.bucket})
	switch {
	case s3Code(err) == "NoSuchCORSConfiguration":
		f.Detail = "no rules, so a page of another origin can't read from this bucket"
	case s3Lacks(err):
		f.Detail = "this store keeps no rules for a bucket"
		f.Fix = "allow GET and HEAD from every origin in the server's own configuration, with the header Range, exposing Content-Range and ETag"
	case err != nil:
		f.Detail, f.Fix = s3Error(ctx, "can't tell", err).Error(), ""
	default:
		missing := corsLacks(types.CORSRule{})
		for _, rule := range out.CORSRules { // the nearest counts
			if lacks := corsLacks(rule); len(lacks) < len(missing) {
				missing = lacks
			}
		}
		if len(missing) == 0 {
			return Finding{What: f.What, Good: true, Detail: "every origin may read ranges"}
		}
		f.Detail = "missing: " + strings.Join(missing, ", ")
	}
	return f
}

// corsLacks says what a rule lacks for reading ranges from anywhere.
func corsLacks(rule types.CORSRule) []string {
	var missing []string
	need := func(what string, have []string, wanted ...string) {
		for _, w := range wanted {
			if !slices.ContainsFunc(have, func(h string) bool { return h == "*" || strings.EqualFold(h, w) }) {
				missing = append(missing, what+" "+w)
			}
		}
	}
	need("origin", rule.AllowedOrigins, "*")
	need("method", rule.AllowedMethods, "GET", "HEAD")
	need("allowed header", rule.AllowedHeaders, "Range")
	need("exposed header", rule.ExposeHeaders, "Accept-Ranges", "Content-Length", "Content-Range", "ETag")
	return missing
}

func (s *S3) inspectLifecycle(ctx context.Context) Finding {
	f := Finding{What: "expiry"}
	const gc = "S3 has no expiry for single objects: vitrine gc removes what has expired"
	f.Fix = s.command("put-bucket-lifecycle-configuration", fmt.Sprintf(
		` --lifecycle-configuration '{"Rules":[{"ID":"vitrine-parts","Status":"Enabled","Filter":{"Prefix":%q},"AbortIncompleteMultipartUpload":{"DaysAfterInitiation":%d}}]}'`,
		s.prefix, int(vitrine.MaxBuildAge/(24*time.Hour))+1))
	out, err := s.client.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: &s.bucket})
	switch {
	case s3Code(err) == "NoSuchLifecycleConfiguration":
		f.Detail = gc + "; no rule removes the parts of uploads that were broken off, gc alone does"
	case s3Lacks(err):
		return Finding{What: f.What, Good: true, Detail: gc + ", and the parts of uploads that were broken off; this store has no lifecycle rules"}
	case err != nil:
		f.Detail, f.Fix = s3Error(ctx, "can't tell", err).Error(), ""
	default:
		for _, rule := range out.Rules {
			if rule.Status != types.ExpirationStatusEnabled || !s.covers(rule) {
				continue
			}
			tagged := rule.Filter != nil && (rule.Filter.Tag != nil || rule.Filter.And != nil)
			if rule.Expiration != nil && !tagged {
				f.Detail = fmt.Sprintf("the rule %s removes objects by their age, whatever their records say", s3Printable(aws.ToString(rule.ID)))
				f.Fix = "take that rule away: " + s.command("get-bucket-lifecycle-configuration", "") + ", then put it without the rule"
				f.Good = false
				return f
			}
			if a := rule.AbortIncompleteMultipartUpload; a != nil {
				f.Good = true
				f.Detail = fmt.Sprintf("%s; the parts of uploads that were broken off go after %d days", gc, aws.ToInt32(a.DaysAfterInitiation))
			}
		}
		if f.Good {
			f.Fix = ""
		} else {
			f.Detail = gc + "; no rule removes the parts of uploads that were broken off, gc alone does"
		}
	}
	return f
}

// covers reports whether a rule is for our objects too.
func (s *S3) covers(rule types.LifecycleRule) bool {
	return rule.Filter == nil || strings.HasPrefix(s.prefix, aws.ToString(rule.Filter.Prefix))
}

func (s *S3) inspectConditions() Finding {
	f := Finding{What: "conditional writes"}
	switch s.conditions.Load() {
	case conditionsHeld:
		f.Good, f.Detail = true, "the store refuses to write over an object"
	case conditionsMissing:
		f.Detail = "the store writes over an object in spite of If-None-Match: vitrine looks before and after each write instead, " +
			"so of two writers of one key at the same instant one may win silently; its record's hash then tells"
		f.Fix = "let one server write, or take a store that has conditional writes"
	default:
		f.Good, f.Detail = true, "not known before something is written; vitrine finds out with its first write"
	}
	return f
}

// inspectSigning sends a signed request, for an object that can't be there.
func (s *S3) inspectSigning(ctx context.Context) Finding {
	f := Finding{What: "signed requests"}
	in := &s3.GetObjectInput{Bucket: &s.bucket, Key: s.at(".vitrine-check")}
	signed, err := s.presigner(time.Minute).PresignGetObject(ctx, in)
	var status int
	if err == nil {
		status, err = s.get(ctx, signed.URL)
	}
	switch {
	case err != nil:
		f.Detail = s3Error(ctx, "can't tell", err).Error()
	case status == 200 || status == 404:
		f.Good, f.Detail = true, "the store takes them"
	default:
		f.Detail = fmt.Sprintf("the store answered %d to one", status)
		f.Fix = "look at this machine's clock, and whether the bucket's policy allows s3:GetObject and s3:ListBucket"
	}
	return f
}

func (s *S3) get(ctx context.Context, url string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	resp, err := s.client.Options().HTTPClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	return resp.StatusCode, err
}

func (s *S3) inspectVersions(ctx context.Context) Finding {
	f := Finding{What: "versions", Good: true}
	out, err := s.client.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: &s.bucket})
	switch {
	case s3Lacks(err):
		f.Detail = "this store keeps none"
	case err != nil:
		f.Detail = s3Error(ctx, "can't tell", err).Error()
	case out.Status == types.BucketVersioningStatusEnabled:
		f.Detail = "the bucket keeps old versions: what vitrine gc removes stays readable for those who may list them, until a lifecycle rule with NoncurrentVersionExpiration removes it"
	default:
		f.Detail = "the bucket keeps none: what is removed is gone"
	}
	return f
}

func (s *S3) inspectAccess(ctx context.Context) Finding {
	f := Finding{What: "access", Good: true}
	out, err := s.client.GetBucketPolicyStatus(ctx, &s3.GetBucketPolicyStatusInput{Bucket: &s.bucket})
	switch {
	case err == nil && out.PolicyStatus != nil && aws.ToBool(out.PolicyStatus.IsPublic):
		f.Detail = "the bucket's policy is public"
		if s.publicURL == "" {
			f.Detail += "; with public_url=URL downloads need no signature"
		}
	case s3Code(err) == "NoSuchBucketPolicy" || err == nil:
		f.Detail = "the bucket's policy is not public: downloads are signed, or go through the server"
		if s.publicURL != "" {
			f.Detail = "the bucket's policy is not public: public_url must be a server in front of it that may read it"
		}
	case s3Lacks(err):
		f.Detail = "this store does not say who may read the bucket"
	default:
		f.Detail = s3Error(ctx, "can't tell", err).Error()
	}
	return f
}
