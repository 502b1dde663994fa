"""nginx as a peer: files over HTTP, without S3, signatures, hashes or parity; what a server can do at best (bench/README.md)."""
import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from measure import cpu_seconds, free_port

# DAV's PUT writes a temporary file and renames it; it never syncs.
SETTINGS = """
daemon off;
{user}
worker_processes auto;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  tcp_nodelay on;
  keepalive_requests 1000000000;
  client_max_body_size 0;
  client_body_buffer_size 128k;
  open_file_cache max=200000 inactive=1h;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location / {{ root {folder}/files; dav_methods PUT; create_full_put_path on; }}
  }}
}}
"""


class Nginx:
    name = "nginx"

    def __init__(self):
        self.program = shutil.which("nginx") or "/usr/sbin/nginx"
        if not os.path.exists(self.program):
            raise SystemExit("bench: nginx is not installed (packaging/bench.txt)")
        self.directory = tempfile.mkdtemp(prefix="polis-bench-nginx-")
        self.port = free_port()
        self.process = None
        self.credentials = []

    def __enter__(self):
        folder = self.directory
        os.mkdir(folder + "/files")
        with open(folder + "/nginx.conf", "w", encoding="ascii") as file:
            file.write(SETTINGS.format(folder=folder, port=self.port, user="user root;" if os.geteuid() == 0 else ""))
        with open(folder + "/log", "wb") as log:
            self.process = subprocess.Popen([self.program, "-p", folder, "-c", folder + "/nginx.conf", "-e", folder + "/error.log"],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + 20
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=2).read()
            except urllib.error.HTTPError:
                break
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    self.__exit__()
                    raise SystemExit("bench: nginx does not start") from None
                time.sleep(0.05)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)
        shutil.rmtree(self.directory, ignore_errors=True)

    def cpu(self):
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as file:
            return sum(cpu_seconds(child) for child in file.read().split())

    @property
    def version(self):
        return "nginx " + subprocess.run([self.program, "-v"], capture_output=True, text=True, check=True).stderr.strip().rsplit("/", 1)[1]
