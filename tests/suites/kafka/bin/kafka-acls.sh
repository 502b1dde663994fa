#!/bin/sh
# kafka-acls.sh --add|--remove|--list [--allow-principal|--deny-principal P] [--allow-host|--deny-host H] [--operation O]
#               [--topic T | --group G | --transactional-id X | --cluster] [--resource-pattern-type literal|prefixed]
# Kafka's script in the words of `polis stream`; it asks the polis whose data directory is POLIS_DATA.
set -eu
action= arguments=
while [ $# -gt 0 ]; do
  # Names, principals and hosts of Kafka hold no blanks; a "*" must stay one.
  case $1 in
    --add | --remove | --list) action=${1#--} ;;
    --allow-principal | --principal) arguments="$arguments --principal=$2" && shift ;;
    --deny-principal) arguments="$arguments --deny --principal=$2" && shift ;;
    --allow-host | --deny-host) arguments="$arguments --host=$2" && shift ;;
    --operation | --topic | --group | --transactional-id) arguments="$arguments $1=$2" && shift ;;
    --cluster) arguments="$arguments --cluster" ;;
    --resource-pattern-type) [ "$2" = literal ] || arguments="$arguments --prefixed" && shift ;;
    --force) ;;
    --bootstrap-server | --authorizer-properties | --command-config) shift ;;
    *) echo "kafka-acls.sh: $1 is not known here" >&2 && exit 2 ;;
  esac
  shift
done
[ "$action" != remove ] || arguments="$arguments --yes"
[ -n "$action" ] || { echo "kafka-acls.sh: say --add, --remove or --list" >&2 && exit 2; }
set -f
exec "${POLIS_BINARY:-polis}" stream acl "$action" $arguments
