package publish

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strconv"
	"strings"
	"time"

	"vitrine"
)

// systems are the CIs whose environment is understood. The first that is there
// counts: a Zuul job may well run something that sets the variables of another.
var systems = []struct {
	name    string
	present func(environment) bool
	job     func(environment) Job
}{
	{"zuul", func(e environment) bool { return e("ZUUL_UUID") != "" }, zuulJob},
	{"github", func(e environment) bool { return e("GITHUB_ACTIONS") == "true" }, githubJob},
	{"gitlab", func(e environment) bool { return e("GITLAB_CI") == "true" }, gitlabJob},
	{"buildkite", func(e environment) bool { return e("BUILDKITE") == "true" }, buildkiteJob},
	{"woodpecker", func(e environment) bool { return e("CI") == "woodpecker" || e("CI_SYSTEM_NAME") == "woodpecker" }, woodpeckerJob},
	{"jenkins", func(e environment) bool { return e("JENKINS_URL") != "" || e("JENKINS_HOME") != "" }, jenkinsJob},
}

// JobFromEnvironment returns what the variables of a CI say of the running job.
// In no CI that it knows, that is a voting job and nothing more.
//
// A job that a CI tries again is another build: its uuid follows from the CI's
// own ids of the run, with the attempt. All jobs of one run share the buildset.
func JobFromEnvironment(getenv func(string) string) Job {
	var j Job
	for _, s := range systems {
		if s.present(getenv) {
			j = s.job(getenv)
			j.UUID, j.Buildset = buildID(s.name, "build", j.UUID), buildID(s.name, "buildset", j.Buildset)
			break
		}
	}
	j.Voting = getenv("ZUUL_VOTING") != "false" && getenv("ZUUL_VOTING") != "False"
	return j
}

// environment is os.Getenv or the like.
type environment = func(string) string

// number is a change's number, 0 where there is none.
func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// buildID makes an id of a CI a uuid: as it is if it is one, with or without
// dashes, and else its hash. An empty one, or one of empty parts, stays empty.
func buildID(system, kind, id string) string {
	if plain := strings.ReplaceAll(strings.ToLower(id), "-", ""); vitrine.ValidUUID(plain) {
		return plain
	}
	if strings.Trim(id, "\n") == "" {
		return ""
	}
	sum := sha256.Sum256([]byte("vitrine " + kind + "\n" + system + "\n" + id))
	return hex.EncodeToString(sum[:16])
}

// ids joins the parts of an id.
func ids(parts ...string) string { return strings.Join(parts, "\n") }

// revision is a commit id, or empty for the zeros that say there is none.
func revision(s string) string {
	if strings.Trim(s, "0") == "" {
		return ""
	}
	return s
}

// projectOf takes the project's name out of the address of its repository.
func projectOf(repository string) string {
	p := repository
	if u, err := url.Parse(repository); err == nil && u.Host != "" {
		p = u.Path
	} else if _, after, ok := strings.Cut(repository, ":"); ok { // git@host:owner/name.git
		p = after
	}
	return strings.TrimSuffix(strings.Trim(p, "/"), ".git")
}

// webLink is s if a record takes it as a link, and else empty: a convenience
// must not keep a log from being published.
func webLink(s string) string {
	if !vitrine.ValidLink(s) {
		return ""
	}
	return s
}

// zuulJob reads the variables that OpenDev's jobs export from Zuul's own.
func zuulJob(e environment) Job {
	tenant := e("ZUUL_TENANT")
	if !vitrine.ValidName(tenant) {
		tenant = ""
	}
	return Job{
		Tenant: tenant, Name: e("ZUUL_JOB"), UUID: e("ZUUL_UUID"), Buildset: e("ZUUL_BUILDSET"),
		Pipeline: e("ZUUL_PIPELINE"), EventID: e("ZUUL_EVENT_ID"),
		Ref: vitrine.Ref{
			Project: e("ZUUL_PROJECT"), Branch: e("ZUUL_BRANCH"), Change: number(e("ZUUL_CHANGE")), Patchset: e("ZUUL_PATCHSET"),
			Ref: e("ZUUL_REF"), OldRev: revision(e("ZUUL_OLDREV")), NewRev: revision(e("ZUUL_NEWREV")),
			RefURL: webLink(e("ZUUL_CHANGE_URL")),
		},
	}
}

func githubJob(e environment) Job {
	server, repo, run, sha := e("GITHUB_SERVER_URL"), e("GITHUB_REPOSITORY"), e("GITHUB_RUN_ID"), e("GITHUB_SHA")
	j := Job{
		Name: e("GITHUB_JOB"), Pipeline: e("GITHUB_WORKFLOW"), EventID: run,
		// Jobs of a matrix differ in the runner's tracking id alone; the action
		// tells apart the steps of a job, each of which may publish.
		UUID:     ids(server, run, e("GITHUB_RUN_ATTEMPT"), e("GITHUB_JOB"), e("RUNNER_TRACKING_ID"), e("GITHUB_ACTION")),
		Buildset: ids(server, run),
		Ref: vitrine.Ref{
			Project: repo, Ref: e("GITHUB_REF"), NewRev: revision(sha), RefURL: webLink(server + "/" + repo + "/commit/" + sha),
		},
	}
	if e("GITHUB_REF_TYPE") == "branch" {
		j.Ref.Branch = e("GITHUB_REF_NAME")
	}
	if rest, ok := strings.CutPrefix(j.Ref.Ref, "refs/pull/"); ok {
		change, _, _ := strings.Cut(rest, "/")
		j.Ref.Change, j.Ref.Patchset, j.Ref.NewRev = number(change), sha, ""
		j.Ref.RefURL = webLink(server + "/" + repo + "/pull/" + change)
	}
	if base := e("GITHUB_BASE_REF"); base != "" {
		j.Ref.Branch = base
	}
	return j
}

func gitlabJob(e environment) Job {
	server, sha := e("CI_SERVER_URL"), e("CI_COMMIT_SHA")
	j := Job{
		Name: e("CI_JOB_NAME"), Pipeline: e("CI_PIPELINE_SOURCE"), EventID: e("CI_PIPELINE_ID"),
		UUID: ids(server, e("CI_JOB_ID")), Buildset: ids(server, e("CI_PIPELINE_ID")), // a retried job has another id
		Ref: vitrine.Ref{
			Project: e("CI_PROJECT_PATH"), Branch: e("CI_COMMIT_BRANCH"), Ref: "refs/heads/" + e("CI_COMMIT_BRANCH"),
			OldRev: revision(e("CI_COMMIT_BEFORE_SHA")), NewRev: revision(sha),
			RefURL: webLink(e("CI_PROJECT_URL") + "/-/commit/" + sha),
		},
	}
	if start, err := time.Parse(time.RFC3339, e("CI_JOB_STARTED_AT")); err == nil {
		j.StartTime = start
	}
	if tag := e("CI_COMMIT_TAG"); tag != "" {
		j.Ref.Ref = "refs/tags/" + tag
	}
	if change := number(e("CI_MERGE_REQUEST_IID")); change > 0 {
		j.Ref.Change, j.Ref.Patchset, j.Ref.OldRev, j.Ref.NewRev = change, sha, "", ""
		j.Ref.Branch, j.Ref.Ref = e("CI_MERGE_REQUEST_TARGET_BRANCH_NAME"), e("CI_MERGE_REQUEST_REF_PATH")
		j.Ref.RefURL = webLink(e("CI_PROJECT_URL") + "/-/merge_requests/" + e("CI_MERGE_REQUEST_IID"))
	}
	return j
}

func buildkiteJob(e environment) Job {
	j := Job{
		Name: cmp.Or(e("BUILDKITE_STEP_KEY"), e("BUILDKITE_LABEL"), e("BUILDKITE_PIPELINE_SLUG")), Pipeline: e("BUILDKITE_PIPELINE_SLUG"),
		EventID: e("BUILDKITE_BUILD_ID"), UUID: e("BUILDKITE_JOB_ID"), Buildset: e("BUILDKITE_BUILD_ID"),
		Ref: vitrine.Ref{
			Project: projectOf(e("BUILDKITE_REPO")), Branch: e("BUILDKITE_BRANCH"), Ref: "refs/heads/" + e("BUILDKITE_BRANCH"),
			NewRev: revision(e("BUILDKITE_COMMIT")), RefURL: webLink(e("BUILDKITE_BUILD_URL")),
		},
	}
	if tag := e("BUILDKITE_TAG"); tag != "" {
		j.Ref.Branch, j.Ref.Ref = "", "refs/tags/"+tag
	}
	if change := number(e("BUILDKITE_PULL_REQUEST")); change > 0 {
		j.Ref.Change, j.Ref.Patchset, j.Ref.NewRev = change, j.Ref.NewRev, ""
		j.Ref.Branch = e("BUILDKITE_PULL_REQUEST_BASE_BRANCH")
	}
	return j
}

func woodpeckerJob(e environment) Job {
	system, repo, run := e("CI_SYSTEM_URL"), e("CI_REPO"), e("CI_PIPELINE_NUMBER")
	j := Job{
		Name: cmp.Or(e("CI_WORKFLOW_NAME"), e("CI_STEP_NAME")), Pipeline: e("CI_PIPELINE_EVENT"), EventID: run,
		// A pipeline that is run again has another number.
		UUID:     ids(system, repo, run, e("CI_WORKFLOW_NUMBER"), e("CI_STEP_NUMBER"), e("CI_STEP_NAME")),
		Buildset: ids(system, repo, run),
		Ref: vitrine.Ref{
			Project: repo, Branch: e("CI_COMMIT_BRANCH"), Ref: e("CI_COMMIT_REF"),
			OldRev: revision(e("CI_PREV_COMMIT_SHA")), NewRev: revision(e("CI_COMMIT_SHA")),
			RefURL: webLink(e("CI_PIPELINE_FORGE_URL")),
		},
	}
	if start := number(e("CI_PIPELINE_STARTED")); start > 0 {
		j.StartTime = time.Unix(start, 0)
	}
	if change := number(e("CI_COMMIT_PULL_REQUEST")); change > 0 {
		j.Ref.Change, j.Ref.Patchset, j.Ref.OldRev, j.Ref.NewRev = change, j.Ref.NewRev, "", ""
		j.Ref.Branch = cmp.Or(e("CI_COMMIT_TARGET_BRANCH"), j.Ref.Branch)
	}
	return j
}

// jenkinsJob reads Jenkins' own variables, those of its git and branch source
// plugins, and those of the Gerrit Trigger plugin.
func jenkinsJob(e environment) Job {
	run := ids(e("BUILD_URL"), e("BUILD_TAG"))
	j := Job{
		Name: e("JOB_NAME"), EventID: e("BUILD_TAG"), UUID: run, Buildset: run,
		Ref: vitrine.Ref{
			Project: cmp.Or(e("GERRIT_PROJECT"), projectOf(e("GIT_URL"))),
			Branch:  cmp.Or(e("GERRIT_BRANCH"), e("CHANGE_TARGET"), e("BRANCH_NAME"), strings.TrimPrefix(e("GIT_BRANCH"), "origin/")),
			Change:  number(cmp.Or(e("GERRIT_CHANGE_NUMBER"), e("CHANGE_ID"))), Patchset: e("GERRIT_PATCHSET_NUMBER"),
			Ref:    cmp.Or(e("GERRIT_REFSPEC"), e("GERRIT_REFNAME")),
			RefURL: webLink(cmp.Or(e("GERRIT_CHANGE_URL"), e("CHANGE_URL"), e("BUILD_URL"))),
		},
	}
	if j.Ref.Change == 0 {
		j.Ref.OldRev = revision(cmp.Or(e("GERRIT_OLDREV"), e("GIT_PREVIOUS_COMMIT")))
		j.Ref.NewRev = revision(cmp.Or(e("GERRIT_NEWREV"), e("GIT_COMMIT")))
	} else if j.Ref.Patchset == "" {
		j.Ref.Patchset = revision(e("GIT_COMMIT"))
	}
	return j
}
