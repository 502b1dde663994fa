#!/bin/sh
# kafka-topics.sh --create|--alter|--delete|--list|--describe [--topic T] [--partitions N] [--config K=V]...
# Kafka's script in the words of `polis stream`; it asks the polis whose data directory is POLIS_DATA.
set -eu
action= topic= partitions= rows=
while [ $# -gt 0 ]; do
  case $1 in
    --create | --alter | --delete | --list | --describe) action=${1#--} ;;
    --topic) topic=$2 && shift ;;
    --partitions) partitions=$2 && shift ;;
    --config) rows="$rows $2" && shift ;;
    --if-not-exists) rows="$rows --if-not-exists" ;;
    --bootstrap-server | --zookeeper | --replication-factor | --command-config) shift ;;
    *) echo "kafka-topics.sh: $1 is not known here" >&2 && exit 2 ;;
  esac
  shift
done
polis=${POLIS_BINARY:-polis}
case $action in
  create)
    set -- "$topic"
    [ -z "$partitions" ] || set -- "$@" "--partitions=$partitions"
    for row in $rows; do
      case $row in
        --*) set -- "$@" "$row" ;;
        *) set -- "$@" "--config=$row" ;;
      esac
    done
    exec "$polis" stream topic create "$@"
    ;;
  alter) exec "$polis" stream topic set "$topic" "--partitions=$partitions" ;;
  delete) exec "$polis" stream topic delete "$topic" --yes ;;
  describe) exec "$polis" stream topic describe "$topic" ;;
  list) exec "$polis" stream topic list ;;
  *) echo "kafka-topics.sh: say --create, --alter, --delete, --list or --describe" >&2 && exit 2 ;;
esac
