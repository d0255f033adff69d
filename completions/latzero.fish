# fish completion for latzero, latzero-snapshot and latzero-restore

function __latzero_pools
    set -l words (commandline -opc)
    set -l dir
    if set -l at (contains -i -- --dir $words); and test (count $words) -gt $at
        set dir --dir $words[(math $at + 1)]
    end
    latzero $dir list 2>/dev/null | string replace -r '\t.*' ''
end

set -l commands create list inspect stats persist rekey limit lock namespaces train destroy clear sweep verify get set del exists incr append ttl keys scan load dump watch top advise bench simulate audit doctor
set -l pooled inspect stats persist rekey limit lock namespaces train destroy clear verify get set del exists incr append ttl keys scan load dump watch top advise bench

complete -c latzero -f
complete -c latzero -l dir -r -F -d 'The runtime directory'
complete -c latzero -l password-file -r -F -d 'It holds the password'
complete -c latzero -l password-fd -x -d 'The password is read from it'
complete -c latzero -l json -d 'JSON Lines'
complete -c latzero -l help -d 'Options and an example'
complete -c latzero -l version -n "not __fish_seen_subcommand_from $commands" -d 'The version'

complete -c latzero -n "not __fish_seen_subcommand_from $commands" -a create -d 'Make a pool'
complete -c latzero -n "not __fish_seen_subcommand_from $commands" -a list -d 'The live pools'
complete -c latzero -n "not __fish_seen_subcommand_from $commands" -a inspect -d 'Figures and clients of a pool'
complete -c latzero -n "not __fish_seen_subcommand_from $commands" -a destroy -d 'Remove pools'
complete -c latzero -n "not __fish_seen_subcommand_from $commands" -a persist -d 'Make a running pool durable'
complete -c latzero -n "not __fish_seen_subcommand_from $commands" -a limit -d 'Bounds of a pool'
complete -c latzero -n "not __fish_seen_subcommand_from $commands" -a namespaces -d 'List or drop namespaces'
complete -c latzero -n "not __fish_seen_subcommand_from $commands" -a lock -d 'Run a command while holding a lock'
complete -c latzero -n "not __fish_seen_subcommand_from $commands" -a audit -d 'Verify, show or rotate an audit log'
complete -c latzero -n "not __fish_seen_subcommand_from $commands" -a train -d 'Make a dictionary for small values'
complete -c latzero -n "not __fish_seen_subcommand_from $commands" -a stats -d 'Figures and counters'
complete -c latzero -n "not __fish_seen_subcommand_from $commands" -a clear -d 'Delete every key'
complete -c latzero -n "not __fish_seen_subcommand_from $commands" -a sweep -d 'Remove what dead processes left'
complete -c latzero -n "not __fish_seen_subcommand_from $commands" -a verify -d 'Check everything'
complete -c latzero -n "not __fish_seen_subcommand_from $commands" -a get -d 'Print a value'
complete -c latzero -n "not __fish_seen_subcommand_from $commands" -a set -d 'Write a key'
complete -c latzero -n "not __fish_seen_subcommand_from $commands" -a del -d 'Delete keys'
complete -c latzero -n "not __fish_seen_subcommand_from $commands" -a exists -d 'Are keys there'
complete -c latzero -n "not __fish_seen_subcommand_from $commands" -a incr -d 'Add to an int'
complete -c latzero -n "not __fish_seen_subcommand_from $commands" -a append -d 'Append to a value'
complete -c latzero -n "not __fish_seen_subcommand_from $commands" -a ttl -d 'Time to live of a key'
complete -c latzero -n "not __fish_seen_subcommand_from $commands" -a keys -d 'Keys in order'
complete -c latzero -n "not __fish_seen_subcommand_from $commands" -a scan -d 'Keys and values in order'
complete -c latzero -n "not __fish_seen_subcommand_from $commands" -a load -d 'Load keys and values'
complete -c latzero -n "not __fish_seen_subcommand_from $commands" -a dump -d 'Write keys and values'
complete -c latzero -n "not __fish_seen_subcommand_from $commands" -a watch -d 'What happens, as it happens'
complete -c latzero -n "not __fish_seen_subcommand_from $commands" -a top -d 'What goes on, live'
complete -c latzero -n "not __fish_seen_subcommand_from $commands" -a advise -d 'On the size of a pool'
complete -c latzero -n "not __fish_seen_subcommand_from $commands" -a bench -d 'Measure'
complete -c latzero -n "not __fish_seen_subcommand_from $commands" -a doctor -d 'What will hurt on this machine'
complete -c latzero -n "not __fish_seen_subcommand_from $commands" -a simulate -d 'Caches on a trace'

complete -c latzero -n "__fish_seen_subcommand_from $pooled" -a '(__latzero_pools)' -d 'Pool'
complete -c latzero -n '__fish_seen_subcommand_from load' -F
complete -c latzero -n '__fish_seen_subcommand_from get set del exists incr append ttl inspect keys scan watch' -l escaped -d 'Keys are escaped'
complete -c latzero -n '__fish_seen_subcommand_from set load' -l type -x -a 'bytes string int float bool null json msgpack pickle user64'
complete -c latzero -n '__fish_seen_subcommand_from create set' -l ttl -x -a '250ms 5s 2m 1h 1d never' -d 'Time to live'
complete -c latzero -n '__fish_seen_subcommand_from set' -l keep-ttl -d 'Keep the deadline'
complete -c latzero -n '__fish_seen_subcommand_from set' -l if-absent -d 'Only a new key'
complete -c latzero -n '__fish_seen_subcommand_from set' -l if-present -d 'Only one that is there'
complete -c latzero -n '__fish_seen_subcommand_from set' -l if-version -x -d 'Only this version'
complete -c latzero -n '__fish_seen_subcommand_from set' -l if-changed -d 'Only another value'
complete -c latzero -n '__fish_seen_subcommand_from watch' -l kinds -x -a 'set delete expire evict connect disconnect' -d 'Only these'
complete -c latzero -n '__fish_seen_subcommand_from watch' -l from -x -d 'First what was from this event on'
complete -c latzero -n '__fish_seen_subcommand_from watch' -l old -d 'Tell old values'
complete -c latzero -n '__fish_seen_subcommand_from watch' -l count -x -d 'End after so many lines'
complete -c latzero -n '__fish_seen_subcommand_from watch' -l ring -x -d 'Bytes of events to remember'
complete -c latzero -n '__fish_seen_subcommand_from keys scan' -l from -x -d 'From this key on'
complete -c latzero -n '__fish_seen_subcommand_from keys scan' -l to -x -d 'Before this key'
complete -c latzero -n '__fish_seen_subcommand_from keys scan' -l limit -x -d 'At most so many'
complete -c latzero -n '__fish_seen_subcommand_from keys scan' -l reverse -d 'The last key first'
complete -c latzero -n '__fish_seen_subcommand_from load dump' -l format -x -a 'jsonl tsv'
complete -c latzero -n '__fish_seen_subcommand_from top' -l once -d 'One sample'
complete -c latzero -n '__fish_seen_subcommand_from top' -l count -x -d 'So many samples'
complete -c latzero -n '__fish_seen_subcommand_from top' -l interval -x -d 'Between samples'
complete -c latzero -n '__fish_seen_subcommand_from top' -l keys -d 'Hot keys of the pool'
complete -c latzero -n '__fish_seen_subcommand_from top' -l most -x -d 'Keys, at most'
complete -c latzero -n '__fish_seen_subcommand_from advise' -l seconds -x -d 'Watch before'
complete -c latzero -n '__fish_seen_subcommand_from advise' -l policy -x -a 'adaptive lru fifo clock sieve s3fifo 2q arc wtinylfu'
complete -c latzero -n '__fish_seen_subcommand_from advise' -l svg -r -F -d 'A plot'
complete -c latzero -n '__fish_seen_subcommand_from bench' -l workload -x -a 'a b c d f get set mget'
complete -c latzero -n '__fish_seen_subcommand_from bench' -l keys -x -d 'How many keys'
complete -c latzero -n '__fish_seen_subcommand_from bench' -l value-size -x -d 'Bytes of a value'
complete -c latzero -n '__fish_seen_subcommand_from bench' -l processes -x -d 'How many processes'
complete -c latzero -n '__fish_seen_subcommand_from bench' -l seconds -x -d 'How long'
complete -c latzero -n '__fish_seen_subcommand_from bench' -l duration -x -d 'How long'
complete -c latzero -n '__fish_seen_subcommand_from bench' -l distribution -x -a 'zipf uniform'
complete -c latzero -n '__fish_seen_subcommand_from simulate' -F
complete -c latzero -n '__fish_seen_subcommand_from simulate' -l size -x -d 'Entries, or a share of the keys'
complete -c latzero -n '__fish_seen_subcommand_from simulate' -l bytes -d 'Bounded by bytes'
complete -c latzero -n '__fish_seen_subcommand_from simulate' -l policy -x -a 'all adaptive lru fifo clock sieve s3fifo 2q arc wtinylfu'
complete -c latzero -n '__fish_seen_subcommand_from simulate' -l extents -x -d 'Of the log'
complete -c latzero -n '__fish_seen_subcommand_from simulate' -l processes -x -d 'In a real pool'
for option in keep attach no-guard no-thread encrypt snapshot-on-close start-empty
    complete -c latzero -n '__fish_seen_subcommand_from create' -l $option
end
for option in mode max-clients max-bytes max-entries idle-ttl compress-min compress-level sync-interval checkpoint-bytes
    complete -c latzero -n '__fish_seen_subcommand_from create' -l $option -x
end
complete -c latzero -n '__fish_seen_subcommand_from create' -l policy -x -a 'none adaptive lru fifo clock sieve s3fifo 2q arc wtinylfu'
complete -c latzero -n '__fish_seen_subcommand_from create' -l compress-dict -x -a 'trained auto'
complete -c latzero -n '__fish_seen_subcommand_from create' -l audit -r -d 'File of the audit log'
complete -c latzero -n '__fish_seen_subcommand_from create' -l audit-keys -x -a 'writes reads all all,plain'
complete -c latzero -n '__fish_seen_subcommand_from create' -l audit-lax -d 'Go on without it'
complete -c latzero -n '__fish_seen_subcommand_from create limit' -l max-age -x -d 'Of keys'
complete -c latzero -n '__fish_seen_subcommand_from audit' -a 'verify show head rotate key'
complete -c latzero -n '__fish_seen_subcommand_from audit' -l head -x -d 'Hash that must be there'
complete -c latzero -n '__fish_seen_subcommand_from audit' -l pool -x -d 'That remembers it'
complete -c latzero -n '__fish_seen_subcommand_from audit' -l key-file -r -d 'Key of entries'
complete -c latzero -n '__fish_seen_subcommand_from audit' -l output -r -d 'File that the key goes to'
complete -c latzero -n '__fish_seen_subcommand_from train' -l dict-size -x -d 'At most'
complete -c latzero -n '__fish_seen_subcommand_from train' -l sample -x -d 'Of values'
complete -c latzero -n '__fish_seen_subcommand_from create' -l sync -x -a 'always interval none'
complete -c latzero -n '__fish_seen_subcommand_from create' -l persist -r -F
complete -c latzero -n '__fish_seen_subcommand_from stats' -l prometheus -d 'As Prometheus reads it'
complete -c latzero -n '__fish_seen_subcommand_from lock' -l lease -x -d 'Ends so long after the last renewal'
complete -c latzero -n '__fish_seen_subcommand_from lock' -l wait -x -d 'At most so long'
complete -c latzero -n '__fish_seen_subcommand_from lock' -l shared -d 'Together with others'
complete -c latzero -l namespace -x -d 'Keys of this namespace'
complete -c latzero -n '__fish_seen_subcommand_from namespaces' -l drop -x -d 'Drop this one'
complete -c latzero -n '__fish_seen_subcommand_from limit' -l ttl -x -d 'Of keys of the namespace'
complete -c latzero -n '__fish_seen_subcommand_from limit' -l max-bytes -x -a none -d 'Bound'
complete -c latzero -n '__fish_seen_subcommand_from limit' -l max-entries -x -a none -d 'Bound'
complete -c latzero -n '__fish_seen_subcommand_from limit' -l policy -x -a 'adaptive lru fifo clock sieve s3fifo 2q arc wtinylfu none'
complete -c latzero -n '__fish_seen_subcommand_from limit' -l compress-min -x -a none -d 'Values from this size'
complete -c latzero -n '__fish_seen_subcommand_from limit' -l compress-level -x -d 'Level'
complete -c latzero -n "not __fish_seen_subcommand_from $commands" -a rekey -d 'Another password or data key'
complete -c latzero -n '__fish_seen_subcommand_from rekey' -l new-password-file -r -F
complete -c latzero -n '__fish_seen_subcommand_from rekey' -l new-password-fd -x
complete -c latzero -n '__fish_seen_subcommand_from rekey' -l data -d 'A new data key'
complete -c latzero -n '__fish_seen_subcommand_from persist' -F
complete -c latzero -n '__fish_seen_subcommand_from persist' -l off -d 'Not durable any more'
complete -c latzero -n '__fish_seen_subcommand_from persist' -l sync -x -a 'always interval none'
complete -c latzero -n '__fish_seen_subcommand_from persist' -l sync-interval -x -d 'How often'
complete -c latzero -n '__fish_seen_subcommand_from persist' -l checkpoint-bytes -x -d 'A longer log is replaced'
complete -c latzero -n '__fish_seen_subcommand_from persist' -l snapshot-on-close -d 'By the last user'

for program in latzero-snapshot latzero-restore
    complete -c $program -l dir -r -F -d 'The runtime directory'
    complete -c $program -l password-file -r -F -d 'It holds the password'
    complete -c $program -l password-fd -x -d 'The password is read from it'
    complete -c $program -l json -d 'JSON Lines'
    complete -c $program -l help -d 'Options and an example'
    complete -c $program -l version -d 'The version'
    complete -c $program -l threads -x -d 'How many'
    complete -c $program -a '(__latzero_pools)' -d 'Pool'
end
complete -c latzero-snapshot -l level -x -d 'Of compression'
complete -c latzero-snapshot -l image -d 'A copy of the files'
complete -c latzero-snapshot -l verify -r -F -d 'Check a file'
complete -c latzero-snapshot -l info -r -F -d 'What is in a file'
for option in keep replace salvage no-guard snapshot-on-close
    complete -c latzero-restore -l $option
end
for option in mode max-clients ttl sync-interval checkpoint-bytes
    complete -c latzero-restore -l $option -x
end
complete -c latzero-restore -l audit -r -F -d 'File of the audit log'
complete -c latzero-restore -l audit-keys -x -a 'writes reads all all,plain'
complete -c latzero-restore -l audit-lax -d 'Go on without it'
complete -c latzero-restore -l persist -r -F -d 'Directory on a disk'
complete -c latzero-restore -l sync -x -a 'always interval none'
