#!/usr/bin/env bash
# Counts the instructions of one operation of the autoscaler with valgrind: unlike nanoseconds
# they do not depend on who else uses the machine. Needs valgrind.
#
#   bench/autoscaler-instructions.sh
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --quiet --release -p tidegate-bench --bin autoscaler_cost
binary=target/release/autoscaler_cost
few=1000
many=11000

count() {
  valgrind --tool=callgrind --callgrind-out-file=/dev/null "$binary" "$1" "$2" 2>&1 |
    sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}

printf '%-18s %s\n' operation instructions
for operation in decide-given decide-linear decide-weighted decide-improved \
  record-linear record-weighted; do
  printf '%-18s %d\n' "$operation" \
    $((($(count "$operation" $many) - $(count "$operation" $few)) / (many - few)))
done
