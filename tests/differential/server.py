"""What the topics about HTTP talk to: 127.0.0.1:8080."""
import base64
import http.server
import json

PAGE = b"a page\n"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def say(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in {"Content-Type": "text/plain", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def date_time_string(self, timestamp=None):
        return "Thu, 01 Jan 2026 00:00:00 GMT"

    def version_string(self):
        return "twin"

    def answer(self):
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        login = "Basic " + base64.b64encode(b"me:secret").decode()
        if path == "/page":
            since = self.headers.get("If-Modified-Since")
            if since:
                return self.say(304)
            return self.say(200, PAGE, Last_Modified="Wed, 31 Dec 2025 00:00:00 GMT")
        if path == "/echo":
            told = {
                "method": self.command,
                "path": self.path,
                "body": sent.decode("utf-8", "replace"),
                "type": self.headers.get("Content-Type"),
                "x": self.headers.get("X-Mine"),
                "login": self.headers.get("Authorization"),
            }
            return self.say(200, json.dumps(told, sort_keys=True).encode(), Content_Type="application/json")
        if path.startswith("/status/"):
            return self.say(int(path.rsplit("/", 1)[1]), b"said\n")
        if path == "/go":
            return self.say(302, b"", Location="/page")
        if path == "/private":
            if self.headers.get("Authorization") != login:
                return self.say(401, b"who?\n", WWW_Authenticate='Basic realm="twin"')
            return self.say(200, b"welcome\n")
        if path == "/named":
            return self.say(200, PAGE, Content_Disposition='attachment; filename="given.txt"')
        if path == "/sums":
            return self.say(200, b"d0bb3ec6c7b71e7a5d0a1b9ea6b5e5d5  other\n")
        return self.say(404, b"none\n")

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = do_OPTIONS = answer


http.server.ThreadingHTTPServer(("127.0.0.1", 8080), Handler).serve_forever()
