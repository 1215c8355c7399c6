#!/usr/bin/env bash
# Prints the memory that the bot takes while it follows a Jetstream, another process on this machine
# that serves a simulated network, under a limit of 512 MB.
#
#     examples/bot-filter/memory.sh [SECONDS] [EVENTS_A_SECOND]
#
# BOT and HOST name programs that are there already; otherwise both are built. With LIMIT=0 there is
# no limit.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=${1:-60}
rate=${2:-500}
limit=${LIMIT:-524288}
port=${PORT:-16008}
[[ -n ${BOT:-} ]] || { cargo build --release -q -p bot-filter; BOT=target/release/bot-filter; }
[[ -n ${HOST:-} ]] || { cargo build --release -q -p jetwash-server; HOST=target/release/jetwash-server; }

folder=$(mktemp -d)
host='' bot=''
clean_up() {
    for process in $bot $host; do kill "$process" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$folder"
}
trap clean_up EXIT

"$HOST" --sim --rate "$rate" --listen "127.0.0.1:$port" --metrics-listen "127.0.0.1:$((port + 1))" \
    >"$folder/host.log" 2>&1 &
host=$!
until (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
    kill -0 "$host" 2>/dev/null || { cat "$folder/host.log"; exit 1; }
    sleep 0.2
done
(
    # Address space, in KiB: what is only reserved counts too, so this is stricter than a cgroup.
    if ((limit > 0)); then ulimit -v "$limit"; fi
    exec "$BOT" --jetstream "ws://127.0.0.1:$port" --data-dir "$folder/bot" --keyword coffee
) >"$folder/bot.log" 2>&1 &
bot=$!

echo "seconds  resident kB  peak kB  of it: anonymous  files  threads"
for ((second = 0; second <= seconds; second += 10)); do
    kill -0 "$bot" 2>/dev/null || { tail -5 "$folder/bot.log"; exit 1; }
    awk -v second="$second" '
        /^(VmRSS|VmHWM|RssAnon|RssFile|Threads):/ { value[$1] = $2 }
        END {
            printf "%7d  %11d  %7d  %17d  %5d  %7d\n", second, value["VmRSS:"], value["VmHWM:"],
                value["RssAnon:"], value["RssFile:"], value["Threads:"]
        }' "/proc/$bot/status"
    sleep 10
done
echo "posts found: $(wc -l <"$folder/bot.log"); the log takes $(du -sk "$folder/bot" | cut -f1) kB"
