# Stand-ins for the servers of docker/compose.yaml, which obey the same variables, files and commands, of Debian's packages.

FROM debian:bookworm-slim AS debian
RUN apt-get update \
    && apt-get install --yes --no-install-recommends postgresql-15 prometheus prometheus-alertmanager \
    && rm -rf /var/lib/apt/lists/* /var/lib/postgresql/15/main \
    && ln -s /usr/bin/prometheus-alertmanager /usr/local/bin/alertmanager
ENV PATH=/usr/lib/postgresql/15/bin:$PATH

FROM debian AS postgres
COPY postgres.sh /usr/local/bin/
ENTRYPOINT ["sh", "/usr/local/bin/postgres.sh"]

FROM debian AS prometheus
ENTRYPOINT ["prometheus"]

FROM debian AS alertmanager
ENTRYPOINT ["alertmanager"]

FROM debian:bookworm-slim AS s3
COPY versitygw /usr/local/bin/
