#!/bin/sh
# Serves the files of a directory under /static with nginx, one worker.
# Usage: static_nginx.sh PORT DIRECTORY [TCP_NOPUSH]
set -eu
port=$1 directory=$2 tcp_nopush=${3:-on}
PATH=$PATH:/usr/sbin
own=$(mktemp -d)
user=
[ "$(id -u)" != 0 ] || user="user root;" # the directory is of whoever measures
cat >"$own/nginx.conf" <<EOF
$user
daemon off;
worker_processes 1;
pid $own/pid;
error_log stderr error;
events { worker_connections 8192; }
http {
    access_log off;
    sendfile on;
    tcp_nopush $tcp_nopush;
    keepalive_requests 1000000000;
    client_body_temp_path $own/body;
    proxy_temp_path $own/proxy;
    fastcgi_temp_path $own/fastcgi;
    uwsgi_temp_path $own/uwsgi;
    scgi_temp_path $own/scgi;
    server {
        listen 127.0.0.1:$port;
        location /static/ { alias $directory/; }
    }
}
EOF
exec nginx -c "$own/nginx.conf" -e stderr
