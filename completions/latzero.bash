# bash completion for latzero, latzero-snapshot and latzero-restore

# The value of --dir on the command line so far, so that pools are those of that directory.
_latzero_pools() {
	local i dir=()
	for ((i = 1; i < ${#COMP_WORDS[@]} - 1; i++)); do
		[[ ${COMP_WORDS[i]} == --dir ]] && dir=(--dir "${COMP_WORDS[i + 1]}")
	done
	latzero "${dir[@]}" list 2>/dev/null | cut -f 1
}

_latzero() {
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
	local commands='create list inspect stats persist rekey limit lock namespaces train destroy clear sweep verify get set del exists incr append ttl keys scan load dump watch top advise bench simulate audit doctor'
	local command='' plain=0 i word options=''
	COMPREPLY=()
	case $previous in
	--dir | --persist | --audit)
		mapfile -t COMPREPLY < <(compgen -d -- "$current")
		return
		;;
	--password-file)
		mapfile -t COMPREPLY < <(compgen -f -- "$current")
		return
		;;
	--format) options='jsonl tsv' ;;
	--type) options='bytes string int float bool null json msgpack pickle user64' ;;
	--policy) options='none adaptive lru fifo clock sieve s3fifo 2q arc wtinylfu all' ;;
	--sync) options='always interval none' ;;
	--workload) options='a b c d f get set mget' ;;
	--distribution) options='zipf uniform' ;;
	--ttl | --wait | --lease | --idle-ttl | --interval | --sync-interval | --duration) options='250ms 5s 2m 1h 1d' ;;
	--password-fd | --namespace | --drop | --mode | --max-* | --if-version | --from | --to | --limit | --count | --ring | --keys | --value-size | --processes | --seconds | \
		--compress-min | --compress-level | --checkpoint-bytes | --dict-size | --sample | --size | --extents | --processes) return ;;
	--audit-keys) options='writes reads all all,plain' ;;
	--compress-dict) options='trained auto' ;;
	--kinds) options='set delete expire evict connect disconnect' ;;
	esac
	if [[ -n $options ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
		return
	fi
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		case $word in
		--dir | --namespace | --drop | --password-file | --password-fd | --persist | --audit | --audit-keys | --max-age | --head | --pool | --key-file | --output | --format | --type | --policy | --sync | --workload | --distribution | --ttl | \
			--idle-ttl | --wait | --lease | --interval | --sync-interval | --duration | --mode | --max-bytes | --max-entries | --max-clients | \
			--if-version | --from | --to | --limit | --count | --kinds | --ring | --keys | --value-size | --processes | --seconds | \
			--compress-min | --compress-level | --compress-dict | --checkpoint-bytes | --dict-size | --sample | --size | --extents | --processes) ((i++)) ;;
		-*) ;;
		*)
			if [[ -z $command ]]; then
				command=$word
			else
				((plain++))
			fi
			;;
		esac
	done
	options='--dir --namespace --password-file --password-fd --json --help'
	case $command in
	'')
		[[ $current == -* ]] && commands='--dir --namespace --password-file --password-fd --json --help --version'
		mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$current")
		return
		;;
	create) options+=' --keep --attach --mode --max-clients --ttl --no-guard --no-thread --max-bytes --max-entries --policy
		--idle-ttl --compress-min --compress-level --compress-dict --encrypt --persist --sync --sync-interval --checkpoint-bytes
		--snapshot-on-close --start-empty --audit --audit-keys --audit-lax --max-age' ;;
	limit) options+=' --max-bytes --max-entries --policy --ttl --compress-min --compress-level --max-age' ;;
	audit) options+=' verify show head rotate key --head --pool --key-file --output' ;;
	lock) options+=' --lease --wait --shared --' ;;
	namespaces) options+=' --drop' ;;
	persist) options+=' --off --sync --sync-interval --checkpoint-bytes --snapshot-on-close' ;;
	rekey) options+=' --new-password-file --new-password-fd --data' ;;
	train) options+=' --dict-size --sample' ;;
	stats) options+=' --prometheus' ;;
	set) options+=' --type --ttl --keep-ttl --if-absent --if-present --if-version --if-changed --escaped' ;;
	get | del | exists | incr | append | ttl | inspect) options+=' --escaped' ;;
	keys | scan) options+=' --from --to --limit --reverse --escaped' ;;
	watch) options+=' --kinds --from --old --count --ring --escaped' ;;
	load) options+=' --format --type' ;;
	dump) options+=' --format' ;;
	top) options+=' --once --count --interval --keys --most' ;;
	advise) options+=' --seconds --policy --svg' ;;
	bench) options+=' --workload --keys --value-size --processes --seconds --duration --distribution' ;;
	simulate) options+=' --size --bytes --policy --extents --processes' ;;
	esac
	if [[ $current == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
		return
	fi
	case $command in
	list | sweep | doctor | create) ;;
	simulate)
		((plain > 0)) || mapfile -t COMPREPLY < <(compgen -f -- "$current")
		;;
	persist)
		if ((plain == 1)); then
			mapfile -t COMPREPLY < <(compgen -d -- "$current")
			return
		fi
		;;&
	load)
		if ((plain == 1)); then
			mapfile -t COMPREPLY < <(compgen -f -- "$current")
			return
		fi
		;;&
	*)
		if ((plain == 0)) || [[ $command == destroy ]]; then
			mapfile -t COMPREPLY < <(compgen -W "$(_latzero_pools)" -- "$current")
		fi
		;;
	esac
}

# latzero-snapshot POOL FILE, latzero-restore FILE POOL.
_latzero_file_and_pool() {
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} plain=0 i options pool=0
	COMPREPLY=()
	case $previous in
	--dir | --persist) mapfile -t COMPREPLY < <(compgen -d -- "$current"); return ;;
	--verify | --info | --password-file | --audit) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
	--sync) mapfile -t COMPREPLY < <(compgen -W 'always interval none' -- "$current"); return ;;
	--audit-keys) mapfile -t COMPREPLY < <(compgen -W 'writes reads all all,plain' -- "$current"); return ;;
	--ttl | --sync-interval) mapfile -t COMPREPLY < <(compgen -W '250ms 5s 2m 1h 1d' -- "$current"); return ;;
	--password-fd | --level | --threads | --mode | --max-clients | --checkpoint-bytes) return ;;
	esac
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--dir | --password-file | --password-fd | --persist | --sync | --ttl | --sync-interval | --level | --threads | --mode | \
			--max-clients | --checkpoint-bytes | --audit | --audit-keys) ((i++)) ;;
		-) ((plain++)) ;;
		-*) ;;
		*) ((plain++)) ;;
		esac
	done
	options='--dir --password-file --password-fd --json --help --version --threads'
	if [[ ${COMP_WORDS[0]} == *snapshot ]]; then
		options+=' --level --image --verify --info'
		((plain == 0)) && pool=1
	else
		options+=' --keep --replace --salvage --mode --max-clients --ttl --no-guard --persist --sync --sync-interval
			--checkpoint-bytes --snapshot-on-close --audit --audit-keys --audit-lax'
		((plain == 1)) && pool=1
	fi
	if [[ $current == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
	elif ((pool)); then
		mapfile -t COMPREPLY < <(compgen -W "$(_latzero_pools)" -- "$current")
	elif ((plain < 2)); then
		mapfile -t COMPREPLY < <(compgen -f -- "$current")
	fi
}

complete -F _latzero latzero
complete -o filenames -F _latzero_file_and_pool latzero-snapshot latzero-restore
