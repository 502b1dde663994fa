#!/bin/sh
# kafka-configs.sh --alter|--describe --entity-type topics --entity-name T [--add-config K=V,...] [--delete-config K,...]
# Kafka's script in the words of `polis stream`; it asks the polis whose data directory is POLIS_DATA.
set -eu
action= kind= entity= changes=
while [ $# -gt 0 ]; do
  case $1 in
    --alter | --describe) action=${1#--} ;;
    --entity-type) kind=$2 && shift ;;
    --entity-name) entity=$2 && shift ;;
    --topic) kind=topics entity=$2 && shift ;;
    --add-config) changes="$changes $(echo "$2" | tr ',' ' ')" && shift ;;
    --delete-config) changes="$changes $(echo "$2" | sed 's/,/= /g; s/$/=/')" && shift ;;
    --bootstrap-server | --zookeeper | --command-config) shift ;;
    *) echo "kafka-configs.sh: $1 is not known here" >&2 && exit 2 ;;
  esac
  shift
done
[ "$kind" = topics ] || { echo "kafka-configs.sh: only --entity-type topics" >&2 && exit 2; }
polis=${POLIS_BINARY:-polis}
case $action in
  # The changes are words of their own.
  alter) exec "$polis" stream topic set "$entity" $changes ;;
  describe) exec "$polis" stream topic describe "$entity" ;;
  *) echo "kafka-configs.sh: say --alter or --describe" >&2 && exit 2 ;;
esac
