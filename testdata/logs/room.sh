#!/bin/sh
# room.sh OUT COMMAND...: run COMMAND as user deploy on a host that does not
# exist, so that what it prints names nobody's machine. Needs root.
#
# The room has its own host name, users, processes, loopback network and empty
# /home, /opt, /srv, /root, /tmp and /mnt. The playbooks are in
# /opt/deploy/playbooks; what COMMAND leaves in /opt/deploy/out is copied to OUT.
set -eu
if [ "${1-}" != --inside ]; then
	exec unshare --mount --uts --net --ipc --pid --fork --mount-proc \
		env -i PATH=/usr/local/go/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
		sh "$0" --inside "$(cd "$(dirname "$0")" && pwd)" "$@"
fi
logs=$2 out=$3
shift 3
hostname bridge01.example.org
ip link set lo up
cd /
mount -t tmpfs -o mode=755 tmpfs /run
etc=$(mktemp -d)
cat >"$etc/passwd" <<END
root:x:0:0:root:/root:/bin/sh
deploy:x:1000:1000:Deploy:/home/deploy:/bin/sh
END
printf 'root:x:0:\nusers:x:100:\ndeploy:x:1000:\n' >"$etc/group"
printf '127.0.0.1 localhost bridge01.example.org\n' >"$etc/hosts"
printf 'bridge01.example.org\n' >"$etc/hostname"
for f in passwd group hosts hostname; do mount --bind "$etc/$f" "/etc/$f"; done
rm -r "$etc"

# The source and the target hide under the file systems that come next: hold on
# to them through two bind mounts.
mkdir -p /run/room.in /run/room.out
mount --bind "$logs" /run/room.in
mount --bind "$out" /run/room.out
for d in /home /opt /srv /root /tmp /mnt /var/tmp; do
	mount -t tmpfs -o mode=755 tmpfs "$d"
done
chmod 1777 /tmp /var/tmp
mkdir -p /home/deploy /opt/deploy/out
cp -r /run/room.in/playbooks /run/room.in/*.sh /opt/deploy/
chown -R deploy:deploy /home/deploy /opt/deploy /srv
cd /opt/deploy/playbooks
rc=0
setpriv --reuid deploy --regid deploy --clear-groups \
	env HOME=/home/deploy USER=deploy LOGNAME=deploy "$@" || rc=$?
cp -r /opt/deploy/out/. /run/room.out/
exit $rc
