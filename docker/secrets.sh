#!/bin/sh
# Make the secrets of docker/compose.yaml: one file each in docker/secrets, random, kept if it is there.
# The containers' users must read the files; the folder's mode keeps other users of this host out.
set -eu
folder="${HINDSIGHT_SECRETS:-$(dirname "$0")/secrets}"
mkdir -p "$folder"
chmod 700 "$folder"

random() { od -A n -N 24 -t x1 /dev/urandom | tr -d ' \n'; }
keep() { # NAME VALUE
    [ -s "$folder/$1" ] || printf '%s' "$2" >"$folder/$1"
    chmod 444 "$folder/$1"
}

for name in hindsight_api_key hindsight_kafka_sasl_password hindsight_mlserver_token hindsight_s3_access_key \
    hindsight_s3_secret_key postgres_password grafana_password; do
    keep "$name" "$(random)"
done
keep hindsight_database_url "postgresql://hindsight:$(cat "$folder/postgres_password")@postgres/hindsight"
echo "The secrets are in $folder"
