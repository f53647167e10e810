# Ends what `backbeat dev` started when `backbeat dev` itself is gone, also after kill -9.
# usage: watchdog.sh TOKEN GRACE_SECONDS; input: "+ TARGET" to remember, "- TARGET" to forget, "." to leave.
# TARGET is what kill takes: a PID, or a process group with a minus before it.
targets=""
while read -r sign target; do
  case $sign in
    +) targets="$targets $target" ;;
    -) kept=""
       for known in $targets; do [ "$known" = "$target" ] || kept="$kept $known"; done
       targets=$kept ;;
    .) exit 0 ;;
  esac
done

# Where Linux shows it, whatever else carries our token: programs that jobs started in sessions of their own.
strays() {
  for place in $(grep -ls "BACKBEAT_STACK=$1" /proc/[0-9]*/environ 2>/dev/null); do
    place=${place%/environ}
    echo "${place#/proc/}"
  done
}

for target in $targets; do kill -s TERM -- "$target" 2>/dev/null; done
waited=0
while [ "$waited" -lt "$2" ]; do
  left=""
  for target in $targets; do kill -s 0 -- "$target" 2>/dev/null && left=yes; done
  [ -n "$left" ] || break
  sleep 1
  waited=$((waited + 1))
done
for target in $targets $(strays "$1"); do kill -s KILL -- "$target" 2>/dev/null; done
