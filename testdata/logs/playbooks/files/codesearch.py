#!/usr/bin/python3
"""A small code search: every text file of some repositories, held in memory."""
import html
import http.server
import json
import pathlib
import re
import sys
import time
import urllib.parse

STYLE = """
:root { color-scheme: light }
* { box-sizing: border-box }
body { margin: 0; font: 15px/1.5 Inter, "DejaVu Sans", sans-serif; color: #1d2733; background: #f6f7f9 }
header { background: #14324a; color: #fff; padding: 14px 32px; display: flex; align-items: center; gap: 28px }
header b { font-size: 18px } header a { color: #c5d9ea; text-decoration: none } header a.here { color: #fff; font-weight: 600 }
header span { margin-left: auto; color: #9db8ce; font-size: 13px }
main { max-width: 1080px; margin: 26px auto; padding: 0 24px }
form { display: flex; gap: 10px }
input { flex: 1; font: 16px "DejaVu Sans Mono", monospace; padding: 10px 14px; border: 1px solid #b9c4ce; border-radius: 6px; background: #fff }
button { font: 600 15px Inter, sans-serif; padding: 0 22px; border: 0; border-radius: 6px; background: #1b6ca8; color: #fff }
.sum { color: #5a6875; margin: 14px 0 20px } h2 { font-size: 19px; margin: 28px 0 10px }
section { background: #fff; border: 1px solid #dbe1e6; border-radius: 6px; margin-bottom: 16px; overflow: hidden }
section h3 { margin: 0; padding: 8px 14px; font-size: 14px; background: #eef2f5; border-bottom: 1px solid #dbe1e6; font-weight: 500 }
section h3 em { color: #5a6875; font-style: normal; float: right } section h3 b { color: #14324a }
pre { margin: 0; padding: 8px 0; font: 13px/1.55 "DejaVu Sans Mono", monospace; overflow: hidden }
pre i { display: inline-block; width: 56px; padding-right: 14px; text-align: right; color: #93a1ad; font-style: normal }
pre .hit { background: #fffbe6; display: inline-block; width: 100% } mark { background: #ffdf6b; border-radius: 2px }
table { width: 100%; border-collapse: collapse; background: #fff; border: 1px solid #dbe1e6 }
th, td { text-align: left; padding: 9px 14px; border-bottom: 1px solid #e6eaee } th { background: #eef2f5; font-weight: 600 }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums } code { font: 13.5px "DejaVu Sans Mono", monospace }
"""


class Index:
    def __init__(self, config):
        self.rules = [(re.compile(rule["pattern"]), rule["why"]) for rule in config["exclude"]]
        self.excluded = [[0, 0] for _ in self.rules]
        self.repos = {}
        root = pathlib.Path(config["root"])
        for repo in config["repos"]:
            self.repos[repo] = dict(self.files(root / repo))
            print(f"indexed {repo}: {len(self.repos[repo])} files", flush=True)

    def files(self, top):
        for path in sorted(top.rglob("*")):
            if not path.is_file():
                continue
            name = path.relative_to(top).as_posix()
            for count, (pattern, _) in zip(self.excluded, self.rules):
                if pattern.search(name):
                    count[0] += 1
                    count[1] += path.stat().st_size
                    break
            else:
                yield name, path.read_text(errors="replace").splitlines()

    def search(self, query):
        pattern = re.compile(query)
        for repo, files in self.repos.items():
            for name, lines in files.items():
                hits = [n for n, line in enumerate(lines) if pattern.search(line)]
                if hits:
                    yield repo, name, lines, hits


def page(config, here, body):
    links = "".join(
        f'<a href="{href}"{" class=here" if href == here else ""}>{text}</a>'
        for href, text in (("/", "Search"), ("/excludes", "Excluded files")))
    title = html.escape(config["title"])
    return (f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
            f'<header><b>{title}</b>{links}<span>codesearch {html.escape(config["version"])}</span></header>'
            f'<main>{body}</main></html>')


def search_page(index, query):
    body = (f'<form><input name="q" aria-label="Regular expression" value="{html.escape(query)}" '
            'placeholder="a regular expression"><button>Search</button></form>')
    if not query:
        return body
    began = time.perf_counter()
    results = list(index.search(query))
    took = (time.perf_counter() - began) * 1000
    matches = sum(len(hits) for *_, hits in results)
    repos = len({repo for repo, *_ in results})
    body += (f'<p class="sum">{matches} lines in {len(results)} files of {repos} repositories, '
             f'{took:.0f} ms</p>')
    pattern = re.compile(query)
    for repo, name, lines, hits in results[:50]:
        text = ""
        for n in range(max(0, hits[0] - 2), min(len(lines), hits[0] + 4)):
            line, at = "", 0
            for m in pattern.finditer(lines[n]):
                line += html.escape(lines[n][at:m.start()]) + f"<mark>{html.escape(m.group())}</mark>"
                at = m.end()
            line += html.escape(lines[n][at:])
            text += f'<span class="{"hit" if n in hits else ""}"><i>{n + 1}</i>{line}</span>\n'
        more = f"<em>{len(hits)} lines</em>" if len(hits) > 1 else ""
        body += f"<section><h3>{more}<b>{html.escape(repo)}</b> / {html.escape(name)}</h3><pre>{text}</pre></section>"
    return body


def excludes_page(index):
    rows = "".join(
        f"<tr><td><code>{html.escape(pattern.pattern)}</code></td><td>{html.escape(why)}</td>"
        f'<td class="n">{files:,}</td><td class="n">{size / 1024:,.1f} kB</td></tr>'
        for (pattern, why), (files, size) in zip(index.rules, index.excluded))
    repos = "".join(
        f'<tr><td>{html.escape(repo)}</td><td class="n">{len(files):,}</td>'
        f'<td class="n">{sum(map(len, files.values())):,}</td></tr>' for repo, files in index.repos.items())
    return (f'<h2>Files left out</h2><table><tr><th>Pattern<th>Why<th class="n">Files<th class="n">Size</tr>{rows}</table>'
            f'<h2>Repositories</h2><table><tr><th>Repository<th class="n">Files<th class="n">Lines</tr>{repos}</table>')


def main():
    config = json.loads(pathlib.Path(sys.argv[1]).read_text())
    print(f"codesearch {config['version']} starts", flush=True)
    index = Index(config)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            url = urllib.parse.urlsplit(self.path)
            query = urllib.parse.parse_qs(url.query).get("q", [""])[0]
            if url.path == "/":
                self.answer("text/html; charset=utf-8", page(config, "/", search_page(index, query)))
            elif url.path == "/excludes":
                self.answer("text/html; charset=utf-8", page(config, "/excludes", excludes_page(index)))
            elif url.path == "/healthz":
                self.answer("application/json", json.dumps({
                    "version": config["version"], "repositories": len(index.repos),
                    "files": sum(map(len, index.repos.values())), "rules": len(index.rules)}))
            elif url.path == "/api/v1/search":
                found = list(index.search(query))
                self.answer("application/json", json.dumps({
                    "matches": sum(len(hits) for *_, hits in found), "files": len(found)}))
            else:
                self.send_error(404)

        def answer(self, kind, text):
            data = text.encode()
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, form, *args):
            print(self.log_date_time_string(), form % args, flush=True)

    print(f"listening on 127.0.0.1:{config['port']}", flush=True)
    http.server.ThreadingHTTPServer(("127.0.0.1", config["port"]), Handler).serve_forever()


if __name__ == "__main__":
    main()
