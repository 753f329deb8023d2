# The stream is not trusted: a signing key can be stolen. So `btrfs receive` works where it can't reach
# anything but TARGET, and what it made gets its name only when all is as the ledger says.
umask 077
shopt -s dotglob nullglob
declare -A published=()
strange=() prepared='' newest=-
die() { echo "$*" >&2; exit 1; }
# A name in what a program says may come from the stream. Nothing but plain text reaches the terminal.
exec 3>&2 2> >(LC_ALL=C sed -u 's/[^[:print:]]/?/g' >&3)
plain=$!
work=$(mktemp -d)
trap 'clean || :; rm -rf -- "$work"; exec 2>&3 3>&-; wait "$plain" 2> /dev/null || :' EXIT

# Makes TARGET a subvolume that belongs to root alone, with an empty directory `.staging` in it.
# With `again`, dates may stand in it that were restored before.
prepare() {
    local above owner mode path
    [ "$EUID" = 0 ] || die "run this as root"
    [[ $target != *[[:cntrl:]]* ]] || die "TARGET has a control character in its name"
    # Its own name is never looked up again: in a directory like /tmp, others could put a link there meanwhile.
    case $(basename -- "$target") in
        / | . | ..) target=$(realpath -- "$target") ;;
        *)
            path=$(realpath -- "$(dirname -- "$target")") || die "there is no directory for $target"
            target=${path%/}/$(basename -- "$target")
            ;;
    esac
    [ ! -L "$target" ] || die "$target is a link: name the directory itself"
    # Who may write above TARGET could put something else in its place.
    above=$target
    while [ "$above" != / ]; do
        above=$(dirname -- "$above")
        [ -d "$above" ] || die "there is no directory $above"
        read -r owner mode <<< "$(stat -c '%u %a' -- "$above")"
        [ "$owner" = 0 ] && { ((!(8#$mode & 8#22))) || ((8#$mode & 8#1000)); } ||
            die "others than root may write in $above: name a TARGET below directories of root"
    done
    path=$target
    [ -e "$path" ] || path=$(dirname -- "$path")
    [ "$(stat -f -c %T -- "$path")" = btrfs ] || die "$target is not on btrfs"
    if [ -e "$target" ] && [ "$(stat -c %i -- "$target")" != 256 ]; then
        # Not a subvolume: it makes room for one. A mount point of a plain directory can't.
        rmdir -- "$target" || die "$target is not an empty directory"
    fi
    [ -e "$target" ] || btrfs subvolume create "$target" > /dev/null
    [ "$(stat -c '%u %i' -- "$target")" = "0 256" ] || die "$target does not belong to root"
    for path in "$target"/*; do
        [ "${1-}" = again ] && [[ $path =~ /([0-9]{4}-[0-9]{2}-[0-9]{2})$ ]] && [ ! -L "$path" ] &&
            [ "$(stat -c '%u %i' -- "$path")" = "0 256" ] || die "$target is not an empty directory"
        published[${BASH_REMATCH[1]}]=yes
    done
    chmod 700 -- "$target"
    mkdir -- "$target/.staging"
    prepared=yes
}

# Stops unless `btrfs` is of that version or newer: an older one does not take the stream, or loses data of it.
require_progs() {
    local found
    found=$(btrfs version) || die "btrfs does not say its version"
    [[ $found =~ ^btrfs-progs\ v([0-9]+(\.[0-9]+)*) ]] || die "btrfs does not say its version"
    found=${BASH_REMATCH[1]}
    [ "$(printf '%s\n' "$1" "$found" | sort -V | head -n 1)" = "$1" ] ||
        die "btrfs-progs $found is too old: $1 or newer is needed for these archives"
}

# Receives the stream on stdin into `.staging`, in a mount namespace of its own. There TARGET is bound on
# itself: no device opens (nodev), no link is followed (nosymfollow), nothing runs (nosuid, noexec).
confined() {
    unshare --mount --propagation private bash -euc '
        mount --bind "$1" "$1"
        mount -o remount,bind,nodev,nosuid,noexec,nosymfollow "$1"
        # An old mount program passes over what it does not know, and says nothing.
        exec 9< "$1"
        mount= on=
        while read -r name value; do [ "$name" != mnt_id: ] || mount=$value; done < /proc/self/fdinfo/9
        while read -r id _ _ _ _ flags _; do [ "$id" != "$mount" ] || on=,$flags,; done < /proc/self/mountinfo
        exec 9<&-
        for flag in nodev nosuid noexec nosymfollow; do
            [[ $on = *",$flag,"* ]] || { echo "this system can not mount with $flag" >&2; exit 1; }
        done
        may=-all,+chown,+dac_override,+fowner,+fsetid,+setfcap,+mknod,+sys_admin,+sys_chroot
        exec setpriv --no-new-privs --inh-caps=-all --bounding-set="$may" \
            btrfs receive -q -C -e "$1/.staging"
    ' confined "$target" > /dev/null 3>&-
}

# Gives what stands in `.staging` the name DATE, if it is one whole subvolume with that STREAM-UUID (of any,
# where none is said), built on the one before it. It is a read-only snapshot then, and durable.
publish() {
    local name=$1 uuid=${2-} staged=$target/.staging/received found path shown
    sync -f "$target"
    find_strange
    for path in "$target" "$target/.staging"; do
        [ "$(stat -c '%u %a' -- "$path")" = "0 700" ] || die "$name: the stream changed $path"
    done
    [ ${#strange[@]} = 0 ] || die "$name: the stream wrote beside its place"
    found=("$target"/.staging/*)
    [ ${#found[@]} = 1 ] && [ ! -L "${found[0]}" ] && [ -d "${found[0]}" ] &&
        [ "$(stat -c %i -- "${found[0]}")" = 256 ] || die "$name: the stream did not make one subvolume"
    # Its own name may be anything.
    [ "${found[0]}" = "$staged" ] || mv -T -- "${found[0]}" "$staged"
    [ "$(btrfs property get -ts "$staged" ro)" = ro=true ] || die "$name: was not received whole"
    shown=$(btrfs subvolume show "$staged")
    if [ "$uuid" ]; then
        [ "$(field "Received UUID")" = "$uuid" ] || die "$name: another stream than the ledger says"
        [ "$(field "Parent UUID")" = "$newest" ] ||
            die "$name: not built on what was restored before it; is the same archive restored elsewhere on this disk?"
    fi
    [ ! -e "$target/$name" ] && [ ! -L "$target/$name" ] || die "$target/$name is there already"
    btrfs subvolume snapshot -r "$staged" "$target/$name" > /dev/null
    published[$name]=yes
    shown=$(btrfs subvolume show "$target/$name")
    newest=$(field UUID)
    btrfs subvolume delete "$staged" > /dev/null
    sync -f "$target"
}

# A uuid in `$shown`, or `-` for none.
field() {
    [[ $shown =~ $'\n\t'"$1:"[[:space:]]+([-0-9a-f]+)($'\n'|$) ]] && echo "${BASH_REMATCH[1]}"
}

# What is in TARGET and was not put there by `publish`.
find_strange() {
    local path
    strange=()
    for path in "$target"/*; do
        [ "$path" != "$target/.staging" ] || continue
        [[ $path =~ /([0-9]{4}-[0-9]{2}-[0-9]{2})$ ]] && [ "${published[${BASH_REMATCH[1]}]-}" ] ||
            strange+=("$path")
    done
}

# Deletes `.staging`, and what a stream made beside it. `find` and `rm` follow no link.
clean() {
    local path
    [ "$prepared" ] || return 0
    find_strange
    for path in "${strange[@]}" "$target/.staging"; do
        find "$path" -type d -inum 256 -prune -exec btrfs subvolume delete {} \; > /dev/null
        rm -rf -- "$path"
        [ ! -e "$path" ] && [ ! -L "$path" ] || echo "could not delete $path: it is not a restored date" >&2
    done
    chown 0:0 -- "$target"
    chmod 700 -- "$target"
}
