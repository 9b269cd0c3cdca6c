#!/usr/bin/python3
"""A whole OpenStack Swift on 127.0.0.1: one process of each server, one disk.

    swift_node.py DIR

For tests alone: what it stores is served with well-known passwords. Needs
Debian's python3-swift and memcached, and no root. Everything it writes is below
DIR, which needs user xattrs (ext4, xfs, tmpfs); /etc/swift is not read. When the
node answers, it prints the URL of its proxy and stays. It ends, with all that it
started, when it is told to, or when its parent is gone.

Accounts: test:tester with the key testing, and test2:tester2 with testing2. The
proxy speaks S3 too, with these as access key and secret.
"""
import ctypes
import http.client
import logging
import os
import pwd
import signal
import socket
import sys
import time

ADDRESS = '127.0.0.1'
SERVERS = ('account', 'container', 'object', 'proxy')
FILTERS = {
    'catch_errors': '', 'gatekeeper': '', 'healthcheck': '', 'proxy-logging': '',
    # Tempauth keeps its tokens in the cache.
    'cache': '''
memcache_servers = {address}:{memcached}
connect_timeout = 5
io_timeout = 10
error_suppression_interval = 0''',
    'listing_formats': '', 'bulk': '', 'tempurl': '',
    's3api': 's3_acl = false',
    'tempauth': '''
token_life = 86400
user_test_tester = testing .admin
user_test2_tester2 = testing2 .admin''',
    'copy': '', 'slo': '', 'dlo': '', 'versioned_writes': 'allow_object_versioning = true', 'symlink': '',
}
ENTRY_POINTS = {'cache': 'memcache', 'proxy-logging': 'proxy_logging'}

# Two busy cores answer late at times; Swift's own limits are half a second and one.
COMMON = '''[DEFAULT]
bind_ip = {address}
bind_port = {port}
bind_timeout = 5
workers = 0
user = {user}
swift_dir = {top}/conf
devices = {top}/data
recon_cache_path = {top}/cache
mount_check = false
disable_fallocate = true
fallocate_reserve = 0
db_preallocation = off
conn_timeout = 5
node_timeout = 60
container_update_timeout = 30
log_level = INFO
'''

# With one node, one that is shunned after an error is a store that is down.
PROXY_APP = '''[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
error_suppression_interval = 0
recoverable_node_timeout = 60
'''

# A sweep costs half a second of a core.
UPDATER = '[object-updater]\ninterval = 20\n'



def filter_section(name, ports):
    use = ENTRY_POINTS.get(name, name)
    settings = FILTERS[name].format(address=ADDRESS, **ports).strip()
    return f'[filter:{name}]\nuse = egg:swift#{use}\n{settings}\n'


def write_configuration(top, ports):
    def write(name, *sections):
        with open(f'{top}/conf/{name}.conf', 'w') as f:
            f.write('\n'.join(sections))

    def common(port):
        return COMMON.format(address=ADDRESS, port=port, top=top, user=user_name())

    write('swift', '[swift-hash]\nswift_hash_path_prefix = test\nswift_hash_path_suffix = test\n',
          '[storage-policy:0]\nname = Policy-0\ndefault = yes\n')
    for name in SERVERS[:3]:
        write(f'{name}-server', common(ports[name]), f'[pipeline:main]\npipeline = {name}-server\n',
              f'[app:{name}-server]\nuse = egg:swift#{name}\n', UPDATER)
    pipeline = ' '.join([*FILTERS, 'proxy-logging', 'proxy-server'])
    write('proxy-server', common(ports['proxy']), f'[pipeline:main]\npipeline = {pipeline}\n',
          PROXY_APP, *(filter_section(name, ports) for name in FILTERS))
    # The expirer brings a proxy of its own. It looks for "expirer" in the name of
    # its file, and reads another queue where that is missing.
    write('object-expirer', common(0), '[object-expirer]\ninterval = 1\n',
          '[pipeline:main]\npipeline = catch_errors cache proxy-server\n', PROXY_APP,
          filter_section('catch_errors', ports), filter_section('cache', ports))


def build_rings(top, ports):
    from swift.common.ring import RingBuilder
    for name in SERVERS[:3]:
        builder = RingBuilder(4, 1, 1)  # 16 partitions, 1 replica
        builder.add_dev({'region': 1, 'zone': 1, 'weight': 1.0, 'device': 'disk', 'meta': '',
                         'ip': ADDRESS, 'port': ports[name],
                         'replication_ip': ADDRESS, 'replication_port': ports[name]})
        builder.rebalance()
        builder.get_ring().save(f'{top}/conf/{name}.ring.gz')


def user_name():
    return pwd.getpwuid(os.getuid()).pw_name


def free_ports(names):
    sockets = [socket.create_server((ADDRESS, 0)) for _ in names]
    ports = {name: s.getsockname()[1] for name, s in zip(names, sockets)}
    for s in sockets:
        s.close()
    return ports


def die_with_parent(sig=signal.SIGKILL):
    ctypes.CDLL(None).prctl(1, sig)  # PR_SET_PDEATHSIG


class Node:
    def __init__(self, top):
        self.top = os.path.abspath(top)
        self.children = {}  # name by process id
        for sub in ('conf', 'data/disk', 'cache', 'log'):
            os.makedirs(f'{self.top}/{sub}')
        try:
            os.setxattr(f'{self.top}/data', 'user.test', b'x')
        except OSError as e:
            sys.exit(f'{self.top}: {e}: Swift needs a file system with user xattrs')
        self.ports = free_ports(['memcached', *SERVERS])
        write_configuration(self.top, self.ports)
        self.prepare()
        build_rings(self.top, self.ports)

    def prepare(self):
        """Bends Swift to run below one directory, without root and syslog."""
        from swift.common import constraints, storage_policy, utils
        # It has /etc/swift/swift.conf built in, whatever swift_dir says.
        utils.SWIFT_CONF_FILE = f'{self.top}/conf/swift.conf'
        utils.validate_hash_conf()
        constraints.reload_constraints()
        storage_policy.reload_storage_policies()
        utils.ThreadSafeSysLogHandler = lambda *args, **kwargs: logging.NullHandler()
        # Its setuid(), to the same user, makes the kernel forget whose death ends it.
        utils.drop_privileges = lambda user: die_with_parent()

    def fork(self, name, run):
        me = os.getpid()
        pid = os.fork()
        if pid:
            self.children[pid] = name
            return
        code = 1
        try:
            die_with_parent()
            if os.getppid() == me:
                for sig in (signal.SIGTERM, signal.SIGHUP):
                    signal.signal(sig, signal.SIG_DFL)
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                log = os.open(f'{self.top}/log/{name}.log', os.O_WRONLY | os.O_CREAT | os.O_APPEND)
                null = os.open(os.devnull, os.O_RDONLY)
                for fd, to in ((null, 0), (log, 1), (log, 2)):
                    os.dup2(fd, to)
                code = run()
        except SystemExit as e:
            code = e.code
        except BaseException:
            import traceback
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 0 if code is None else 1)

    def start_servers(self):
        # Read once here, and not by each of the processes.
        import swift.account.server, swift.container.server, swift.obj.server, swift.proxy.server  # noqa: E401, F401
        from swift.common import wsgi
        self.fork('memcached', lambda: os.execvp('memcached', [
            'memcached', '-l', ADDRESS, '-p', str(self.ports['memcached']), '-U', '0', '-m', '32', '-u', user_name()]))
        for name in SERVERS:
            self.fork(name, lambda: wsgi.run_wsgi(f'{self.top}/conf/{name}-server.conf', f'{name}-server', verbose=True))

    def start_daemons(self):
        """Those that bring late listings up to date, and let objects expire."""
        from swift.common.daemon import run_daemon
        from swift.obj.expirer import ObjectExpirer
        from swift.obj.updater import ObjectUpdater
        for name, daemon, conf in (('object-updater', ObjectUpdater, 'object-server'),
                                   ('object-expirer', ObjectExpirer, 'object-expirer')):
            self.fork(name, lambda: run_daemon(daemon, f'{self.top}/conf/{conf}.conf', verbose=True))

    def answers(self):
        """Goes the whole way once, through every server."""
        def ask(method, path, body=None, **headers):
            c = http.client.HTTPConnection(ADDRESS, self.ports['proxy'], timeout=30)
            try:
                c.request(method, path, body, {k.replace('_', '-'): v for k, v in headers.items()})
                r = c.getresponse()
                r.read()
                return r
            finally:
                c.close()

        try:
            r = ask('GET', '/auth/v1.0', X_Auth_User='test:tester', X_Auth_Key='testing')
            token = r.getheader('X-Auth-Token') or ''
            steps = (('POST', ''), ('PUT', '/ready'), ('PUT', '/ready/x'), ('DELETE', '/ready/x'), ('DELETE', '/ready'))
            return r.status == 200 and all(
                ask(method, '/v1/AUTH_test' + path, '', X_Auth_Token=token).status < 300 for method, path in steps)
        except OSError:
            return False

    def check(self):
        """Ends the node if one of its processes has ended."""
        pid, _ = os.waitpid(-1, os.WNOHANG)
        if pid:
            name = self.children.pop(pid, 'a process')
            raise SystemExit(f'swift: {name} ended: see log/{name}.log')

    def stop(self):
        for pid in self.children:
            os.kill(pid, signal.SIGKILL)
        for pid in self.children:
            os.waitpid(pid, 0)

    def run(self):
        try:
            self.start_servers()
            deadline = time.monotonic() + 120
            while not self.answers():
                self.check()
                if time.monotonic() > deadline:
                    raise SystemExit('swift: no answer within two minutes')
                time.sleep(0.1)
            self.start_daemons()
            print(f'http://{ADDRESS}:{self.ports["proxy"]}', flush=True)
            while True:
                self.check()
                time.sleep(0.2)
        finally:
            self.stop()


def main():
    if len(sys.argv) != 2:
        sys.exit('usage: swift_node.py DIR')
    for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(sig, lambda *_: sys.exit(0))
    die_with_parent(signal.SIGTERM)
    os.environ['EVENTLET_NO_GREENDNS'] = 'yes'  # an import less
    Node(sys.argv[1]).run()


main()
