#!/bin/sh
# Each public call is either tried through a read-only handle in tests/api/test_readonly.c or can't be: it takes no pool,
# or only what a call that is refused there would have given.
set -u
test=$top_srcdir/tests/api/test_readonly.c
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT

# What takes no handle of a pool.
without_pool="latz_audit_rotate latz_audit_verify latz_error_detail latz_list latz_password_free latz_password_read latz_set_logger latz_simulate_close latz_simulate_open
	latz_simulate_request latz_simulate_result latz_snapshot_info_read latz_snapshot_verify latz_strerror latz_sweep
	latz_version"
# What takes a lock, lease, watch, transaction or counter that can't be had.
without_object="latz_counter_read latz_counter_record latz_counter_set latz_lease_drop latz_lease_fill
	latz_lock_downgrade latz_lock_fd latz_lock_renew latz_lock_status latz_lock_upgrade latz_txn_abort
	latz_txn_commit latz_txn_delete latz_txn_get latz_txn_set latz_unlock latz_watch_close latz_watch_fd
	latz_watch_next latz_watch_position"

echo 1..1
for name in $(sed -n 's/^[[:space:]]*\(latz_[a-z0-9_]*\);$/\1/p' "$top_srcdir/src/latzero.map"); do
	case " $(echo $without_pool $without_object) " in
	*" $name "*) ;;
	*) grep -q "[^a-z_]$name(" "$test" || echo "# $name is not tried" >>"$scratch/missing" ;;
	esac
done
if [ -s "$scratch/missing" ]; then
	echo "not ok 1 - every public call is tried through a read-only handle"
	cat "$scratch/missing"
else
	echo "ok 1 - every public call is tried through a read-only handle"
fi
