#!/bin/sh
# nginx as an app of `tidegate run`: it writes a configuration with $PORT, and stays in the foreground.
#
#     tidegate run --max 4 -- sh examples/nginx.sh
set -eu
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
cat > "$home/nginx.conf" <<CONFIG
daemon off;
pid $home/nginx.pid;
error_log stderr warn;
events {}
http {
    access_log off;
    client_body_temp_path $home/body;
    proxy_temp_path $home/proxy;
    fastcgi_temp_path $home/fastcgi;
    uwsgi_temp_path $home/uwsgi;
    scgi_temp_path $home/scgi;
    server {
        listen 127.0.0.1:$PORT;
        location / { return 200 "hello from port $PORT\\n"; }
    }
}
CONFIG
nginx -c "$home/nginx.conf" -p "$home" &
child=$!
# Told to end, nginx finishes its requests first; then the folder goes.
trap 'kill -QUIT "$child" 2>/dev/null || true' TERM INT
wait "$child" || wait "$child" || true
