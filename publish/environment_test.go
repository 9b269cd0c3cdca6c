package publish

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"vitrine"
)

func TestJobFromEnvironment(t *testing.T) {
	const sha = "1b7e0f0c3f5d4e1d9a1b2c3d4e5f60718293a4b5"
	for _, test := range []struct {
		name string
		env  string // NAME=value, one a line
		want Job    // ids that are hashed are left empty
	}{
		{"none", "CI=true", Job{Voting: true}},
		{"zuul", `
ZUUL_UUID=0f0e0d0c0b0a09080706050403020100
ZUUL_BUILDSET=00112233445566778899aabbccddeeff
ZUUL_TENANT=opendev
ZUUL_JOB=infra-prod-service-codesearch
ZUUL_VOTING=False
ZUUL_PIPELINE=deploy
ZUUL_EVENT_ID=e1
ZUUL_PROJECT=opendev/system-config
ZUUL_BRANCH=master
ZUUL_CHANGE=894201
ZUUL_PATCHSET=3
ZUUL_REF=refs/changes/01/894201/3
ZUUL_OLDREV=0000000000000000000000000000000000000000
ZUUL_NEWREV=` + sha + `
ZUUL_CHANGE_URL=https://review.opendev.org/c/opendev/system-config/+/894201
GITHUB_ACTIONS=true
GITHUB_JOB=not-this`, Job{
			UUID: "0f0e0d0c0b0a09080706050403020100", Buildset: "00112233445566778899aabbccddeeff", Tenant: "opendev",
			Name: "infra-prod-service-codesearch", Pipeline: "deploy", EventID: "e1",
			Ref: vitrine.Ref{Project: "opendev/system-config", Branch: "master", Change: 894201, Patchset: "3", Ref: "refs/changes/01/894201/3",
				NewRev: sha, RefURL: "https://review.opendev.org/c/opendev/system-config/+/894201"},
		}},
		{"github push", `
GITHUB_ACTIONS=true
GITHUB_SERVER_URL=https://github.com
GITHUB_REPOSITORY=acme/web
GITHUB_RUN_ID=123
GITHUB_RUN_ATTEMPT=1
GITHUB_JOB=deploy
GITHUB_WORKFLOW=Deploy
GITHUB_REF=refs/heads/main
GITHUB_REF_TYPE=branch
GITHUB_REF_NAME=main
GITHUB_SHA=` + sha, Job{
			Name: "deploy", Pipeline: "Deploy", EventID: "123", Voting: true,
			Ref: vitrine.Ref{Project: "acme/web", Branch: "main", Ref: "refs/heads/main", NewRev: sha, RefURL: "https://github.com/acme/web/commit/" + sha},
		}},
		{"github pull request", `
GITHUB_ACTIONS=true
GITHUB_SERVER_URL=https://github.com
GITHUB_REPOSITORY=acme/web
GITHUB_RUN_ID=123
GITHUB_JOB=test
GITHUB_REF=refs/pull/42/merge
GITHUB_REF_TYPE=branch
GITHUB_REF_NAME=42/merge
GITHUB_BASE_REF=main
GITHUB_SHA=` + sha, Job{
			Name: "test", EventID: "123", Voting: true,
			Ref: vitrine.Ref{Project: "acme/web", Branch: "main", Change: 42, Patchset: sha, Ref: "refs/pull/42/merge", RefURL: "https://github.com/acme/web/pull/42"},
		}},
		{"gitlab branch", `
GITLAB_CI=true
CI_SERVER_URL=https://gitlab.com
CI_JOB_ID=9
CI_JOB_NAME=deploy
CI_JOB_STARTED_AT=2026-11-22T02:11:09Z
CI_PIPELINE_ID=8
CI_PIPELINE_SOURCE=push
CI_PROJECT_PATH=acme/web
CI_PROJECT_URL=https://gitlab.com/acme/web
CI_COMMIT_BRANCH=main
CI_COMMIT_BEFORE_SHA=0000000000000000000000000000000000000000
CI_COMMIT_SHA=` + sha, Job{
			Name: "deploy", Pipeline: "push", EventID: "8", Voting: true, StartTime: time.Date(2026, 11, 22, 2, 11, 9, 0, time.UTC),
			Ref: vitrine.Ref{Project: "acme/web", Branch: "main", Ref: "refs/heads/main", NewRev: sha, RefURL: "https://gitlab.com/acme/web/-/commit/" + sha},
		}},
		{"gitlab merge request", `
GITLAB_CI=true
CI_JOB_ID=9
CI_JOB_NAME=test
CI_PIPELINE_ID=8
CI_PROJECT_PATH=acme/web
CI_PROJECT_URL=https://gitlab.com/acme/web
CI_MERGE_REQUEST_IID=5
CI_MERGE_REQUEST_TARGET_BRANCH_NAME=main
CI_MERGE_REQUEST_REF_PATH=refs/merge-requests/5/head
CI_COMMIT_SHA=` + sha, Job{
			Name: "test", EventID: "8", Voting: true,
			Ref: vitrine.Ref{Project: "acme/web", Branch: "main", Change: 5, Patchset: sha, Ref: "refs/merge-requests/5/head", RefURL: "https://gitlab.com/acme/web/-/merge_requests/5"},
		}},
		{"gitlab tag", `
GITLAB_CI=true
CI_JOB_ID=9
CI_PIPELINE_ID=8
CI_COMMIT_TAG=v1`, Job{EventID: "8", Voting: true, Ref: vitrine.Ref{Ref: "refs/tags/v1"}}},
		{"buildkite", `
BUILDKITE=true
BUILDKITE_JOB_ID=0191C9A0-1111-4222-8333-444455556666
BUILDKITE_BUILD_ID=0191c9a0-aaaa-4222-8333-444455556666
BUILDKITE_PIPELINE_SLUG=web
BUILDKITE_LABEL=:rocket: deploy
BUILDKITE_STEP_KEY=deploy
BUILDKITE_REPO=git@github.com:acme/web.git
BUILDKITE_BRANCH=feature
BUILDKITE_PULL_REQUEST=42
BUILDKITE_PULL_REQUEST_BASE_BRANCH=main
BUILDKITE_BUILD_URL=https://buildkite.com/acme/web/builds/1
BUILDKITE_COMMIT=` + sha, Job{
			UUID: "0191c9a01111422283334444" + "55556666", Buildset: "0191c9a0aaaa422283334444" + "55556666",
			Name: "deploy", Pipeline: "web", EventID: "0191c9a0-aaaa-4222-8333-444455556666", Voting: true,
			Ref: vitrine.Ref{Project: "acme/web", Branch: "main", Change: 42, Patchset: sha, Ref: "refs/heads/feature", RefURL: "https://buildkite.com/acme/web/builds/1"},
		}},
		{"buildkite tag", `
BUILDKITE=true
BUILDKITE_PIPELINE_SLUG=web
BUILDKITE_TAG=v1
BUILDKITE_PULL_REQUEST=false
BUILDKITE_REPO=https://github.com/acme/web.git
BUILDKITE_COMMIT=` + sha, Job{
			Name: "web", Pipeline: "web", Voting: true, Ref: vitrine.Ref{Project: "acme/web", Ref: "refs/tags/v1", NewRev: sha},
		}},
		{"woodpecker", `
CI=woodpecker
CI_SYSTEM_URL=https://ci.example.org
CI_REPO=acme/web
CI_PIPELINE_NUMBER=7
CI_PIPELINE_EVENT=pull_request
CI_PIPELINE_STARTED=1763777469
CI_PIPELINE_FORGE_URL=https://forge.example.org/acme/web/pulls/42
CI_WORKFLOW_NAME=deploy
CI_COMMIT_BRANCH=main
CI_COMMIT_TARGET_BRANCH=main
CI_COMMIT_PULL_REQUEST=42
CI_COMMIT_REF=refs/pull/42/head
CI_PREV_COMMIT_SHA=` + sha + `
CI_COMMIT_SHA=` + sha, Job{
			Name: "deploy", Pipeline: "pull_request", EventID: "7", Voting: true, StartTime: time.Unix(1763777469, 0),
			Ref: vitrine.Ref{Project: "acme/web", Branch: "main", Change: 42, Patchset: sha, Ref: "refs/pull/42/head", RefURL: "https://forge.example.org/acme/web/pulls/42"},
		}},
		{"jenkins", `
JENKINS_URL=https://jenkins.example.org/
JOB_NAME=deploy-web
BUILD_TAG=jenkins-deploy-web-12
BUILD_URL=https://jenkins.example.org/job/deploy-web/12/
GIT_URL=https://git.example.org/acme/web.git
GIT_BRANCH=origin/main
GIT_PREVIOUS_COMMIT=` + strings.Repeat("a", 40) + `
GIT_COMMIT=` + sha, Job{
			Name: "deploy-web", EventID: "jenkins-deploy-web-12", Voting: true,
			Ref: vitrine.Ref{Project: "acme/web", Branch: "main", OldRev: strings.Repeat("a", 40), NewRev: sha, RefURL: "https://jenkins.example.org/job/deploy-web/12/"},
		}},
		{"jenkins with gerrit", `
JENKINS_HOME=/var/lib/jenkins
JOB_NAME=deploy-web
BUILD_TAG=jenkins-deploy-web-12
GERRIT_PROJECT=acme/web
GERRIT_BRANCH=main
GERRIT_CHANGE_NUMBER=1234
GERRIT_PATCHSET_NUMBER=2
GERRIT_REFSPEC=refs/changes/34/1234/2
GERRIT_CHANGE_URL=javascript:alert(1)`, Job{
			Name: "deploy-web", EventID: "jenkins-deploy-web-12", Voting: true,
			Ref: vitrine.Ref{Project: "acme/web", Branch: "main", Change: 1234, Patchset: "2", Ref: "refs/changes/34/1234/2"},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := JobFromEnvironment(lookup(test.env))
			if hashed := test.name != "none" && test.want.UUID == ""; hashed {
				if test.name != "buildkite tag" && (!vitrine.ValidUUID(got.UUID) || !vitrine.ValidUUID(got.Buildset) || got.UUID == got.Buildset) {
					t.Errorf("uuid %q, buildset %q", got.UUID, got.Buildset)
				}
				got.UUID, got.Buildset = "", ""
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
		})
	}
}

func lookup(env string) func(string) string {
	return func(name string) string {
		for line := range strings.SplitSeq(env, "\n") {
			if k, v, ok := strings.Cut(line, "="); ok && k == name {
				return v
			}
		}
		return ""
	}
}

// Jobs of one run share the buildset; an attempt, a job, a run and a CI each
// have builds of their own.
func TestIDs(t *testing.T) {
	const base = "GITHUB_ACTIONS=true\nGITHUB_SERVER_URL=https://github.com\nGITHUB_RUN_ID=1\nGITHUB_RUN_ATTEMPT=1\nGITHUB_JOB=a\nRUNNER_TRACKING_ID=x"
	first := JobFromEnvironment(lookup(base))
	if again := JobFromEnvironment(lookup(base)); again != first {
		t.Errorf("the same job has other ids the second time")
	}
	for _, test := range []struct {
		from, to     string
		sameBuildset bool
	}{
		{"ATTEMPT=1", "ATTEMPT=2", true},
		{"JOB=a", "JOB=b", true},
		{"TRACKING_ID=x", "TRACKING_ID=y", true},
		{"RUN_ID=1", "RUN_ID=2", false},
		{"github.com", "ghe.example.org", false},
	} {
		other := JobFromEnvironment(lookup(strings.Replace(base, test.from, test.to, 1)))
		if other.UUID == first.UUID || (other.Buildset == first.Buildset) != test.sameBuildset {
			t.Errorf("%s: uuid %s and %s, buildset %s and %s", test.to, first.UUID, other.UUID, first.Buildset, other.Buildset)
		}
	}
}

func FuzzJobFromEnvironment(f *testing.F) {
	f.Add("GITHUB_ACTIONS=true\nGITHUB_REF=refs/pull/99999999999999999999/merge")
	f.Add("GITLAB_CI=true\nCI_JOB_ID=\x00\nCI_MERGE_REQUEST_IID=-1")
	f.Add("ZUUL_UUID=../../x\nZUUL_TENANT=..\nZUUL_CHANGE_URL=http://a:b@c/")
	f.Add("BUILDKITE=true\nBUILDKITE_REPO=:\nBUILDKITE_PULL_REQUEST=1")
	f.Fuzz(func(t *testing.T, env string) {
		j := JobFromEnvironment(lookup(env))
		for _, id := range []string{j.UUID, j.Buildset} {
			if id != "" && !vitrine.ValidUUID(id) {
				t.Errorf("id %q", id)
			}
		}
		if j.Tenant != "" && !vitrine.ValidName(j.Tenant) || j.Ref.Change < 0 {
			t.Errorf("tenant %q, change %d", j.Tenant, j.Ref.Change)
		}
		if l := j.Ref.RefURL; l != "" && !strings.HasPrefix(strings.ToLower(l), "http") {
			t.Errorf("link %q", l)
		}
	})
}
