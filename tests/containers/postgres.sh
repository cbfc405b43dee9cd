# What the image of PostgreSQL does with its variables at the first start.
set -eu
data=/var/lib/postgresql/data/pgdata
as_postgres() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }
if [ ! -s "$data/PG_VERSION" ]; then
    install --directory --owner=postgres --mode=700 "$data"
    install --owner=postgres --mode=400 "$POSTGRES_PASSWORD_FILE" /run/password
    as_postgres initdb --pgdata="$data" --encoding=UTF8 --locale=C.UTF-8 --username="$POSTGRES_USER" --pwfile=/run/password --auth=scram-sha-256
    echo "host all all all scram-sha-256" >>"$data/pg_hba.conf"
    echo "CREATE DATABASE $POSTGRES_DB" | as_postgres postgres --single -D "$data" postgres
fi
exec setpriv --reuid=postgres --regid=postgres --clear-groups \
    postgres -D "$data" -c "listen_addresses=*" -c unix_socket_directories=/tmp
