#!/bin/sh
# Makes the encrypted files of this folder with ansible-vault of ansible-core 2.19 (once; the results are kept).
set -eu
cd "$(dirname "$0")"
printf 'correct horse\n' > password
printf 'prod password\n' > prod-password
seal() { ansible-vault encrypt --vault-id "$1" --output "$2" -; }
printf 'Sealed motd: {{ sealed_name }}\n' | seal default@password motd
printf 'raw sealed bytes\n' | seal default@password raw
printf 'sealed_name: from-group-vars\nsealed_nested:\n  deep: [1, "{{ sealed_name }}"]\n' | seal default@password group_vars/all.yml
printf 'labelled: labelled_secret\n' | seal prod@prod-password labelled.yml
printf 'broken: [1\n  hunter2: x\n' | seal default@password broken.yml
printf -- '- debug: msg=SEALED-TASK\n' | seal default@password tasks.yml
{
    echo 'plain: visible'
    printf 's3cret value' | ansible-vault encrypt_string --vault-id default@password --stdin-name inline 2>/dev/null
} > values.yml
