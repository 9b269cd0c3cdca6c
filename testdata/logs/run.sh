#!/bin/sh
# Run the playbooks of a small deployment, run after run, and keep what each one
# prints. To be run in the room that room.sh makes.
set -u
out=/opt/deploy/out
say() { printf '%s\n' "$*" >&2; }

# The outer world: git repositories to clone, a mirror to download gitea from.
repository() { # NAME FOLDER
	mkdir -p "/srv/src/$1"
	cp -r "$2/." "/srv/src/$1/"
	git -c init.defaultBranch=main init -q "/srv/src/$1"
	cd "/srv/src/$1" && git add -A &&
		GIT_AUTHOR_DATE='2026-11-02T09:00:00Z' GIT_COMMITTER_DATE='2026-11-02T09:00:00Z' \
		git -c user.name=Alice -c user.email=alice@example.org commit -q -m 'Import'
	git clone -q --bare "/srv/src/$1" "/srv/git/$1.git"
}
python=/usr/lib/python3/dist-packages
repository ansible/posix $python/ansible_collections/ansible/posix
repository pallets/jinja $python/jinja2
repository pypa/packaging $python/packaging
repository yaml/pyyaml $python/yaml
mkdir -p /srv/mirror/gitea
cat >/srv/mirror/gitea/gitea <<'END'
#!/bin/sh
# Stands for the real program, which would be 100 MB.
echo "gitea: $1 with $2"
END
chmod 755 /srv/mirror/gitea/gitea
pack() { tar -C /srv/mirror/gitea --mtime=2026-11-01 --owner=0 --group=0 -czf "/srv/mirror/gitea-$1-linux-amd64.tar.gz" gitea; }
pack 1.24.6
(cd /srv/mirror && sha256sum gitea-1.24.6-linux-amd64.tar.gz >SHA256SUMS)
echo '# Another release.' >>/srv/mirror/gitea/gitea
pack 1.24.7
python3 -m http.server --bind 127.0.0.1 --directory /srv/mirror 8090 >/dev/null 2>&1 &

cd /opt/deploy/playbooks || exit
play() { # FILE COMMAND...
	log=$1
	shift
	"$@" >"$out/$log" 2>&1
	say "$log: rc $?"
}
json() { # FILE ARGUMENT...
	log=$1
	shift
	ANSIBLE_STDOUT_CALLBACK=json ANSIBLE_CALLBACKS_ENABLED='' \
		ansible-playbook -e "$@" service-codesearch.yaml >"$out/$log" 2>/dev/null
	say "$log: rc $?"
}
shot() { # FILE URL
	chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
		--disable-background-networking --disable-component-update --disable-sync \
		--user-data-dir="$(mktemp -d)" --hide-scrollbars --window-size=1280,800 \
		--screenshot="$out/$1" "$2" >/dev/null 2>&1
	say "$1: rc $?"
}
play base-success.log ansible-playbook base.yaml
play codesearch-success.log ansible-playbook service-codesearch.yaml
play gitea-success.log ansible-playbook service-gitea.yaml
shot search-before.png 'http://127.0.0.1:6080/?q=re%5C.compile'

# A change gives the service another title: in colour and with the differences,
# then twice more with nothing left to do.
more='{"codesearch_version": "1.4.1", "codesearch_title": "OpenDev code search"}'
play codesearch-colour.log env ANSIBLE_FORCE_COLOR=1 \
	ansible-playbook --diff -e "$more" service-codesearch.yaml
play codesearch-verbose.log ansible-playbook -vvv -e "$more" service-codesearch.yaml
json codesearch-output.json "$more"

shot search.png 'http://127.0.0.1:6080/?q=re%5C.compile'
shot excludes.png 'http://127.0.0.1:6080/excludes'

# Another change adds a pattern that isn't a regular expression, and gitea's
# release isn't the one whose sum we have.
play codesearch-failure.log ansible-playbook -e @broken-exclude.yaml service-codesearch.yaml
json codesearch-failure-output.json @broken-exclude.yaml
play gitea-failure.log ansible-playbook -e gitea_version=1.24.7 service-gitea.yaml
