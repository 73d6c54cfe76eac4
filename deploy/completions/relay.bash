# SPDX-License-Identifier: MIT
# Completion for bash: relay, relaycat, relaypub, relayctl. Options and commands come from --help, keys of the configuration from the program
# itself, so nothing is listed here twice.

# The options of program $1: what begins the lines of its --help.
_relay_options()
{
	"$1" --help 2>/dev/null | sed -nE 's/^ +(-.*)/\1/p' | sed -E 's/  .*//' | tr ', ' '\n\n' | grep -E '^--?[a-zA-Z]'
}

# "SECTION.KEY" for each key of the configuration $2; of the example's, when that cannot be read.
_relay_keys()
{
	{ "$1" -T -c "$2" 2>/dev/null || "$1" --print-example 2>/dev/null; } | awk '
		/^\[/ { section = substr($0, 2, length($0) - 2); next }
		match($0, /^#?[a-z_]+ =/) { key = substr($0, 1, RLENGTH - 2); sub(/^#/, "", key); print section "." key }'
}

# The lines of standard input that begin with $1, with $2 behind each; blanks are quoted for the shell.
_relay_offer()
{
	local line
	COMPREPLY=()
	while IFS= read -r line; do
		[[ $line != "$1"* ]] || COMPREPLY+=("$(printf '%q' "$line")$2")
	done
}

_relay_files()
{
	compopt -o filenames 2>/dev/null
	COMPREPLY=($(compgen -f -- "$1"))
}

_relay()
{
	local program=$1 word=$2 before=$3 file=/etc/relay/relay.ini i
	# A blank in the word, quoted or escaped, stands as it was typed.
	word=${word//\\/}
	word=${word#[\"\']}
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-c | --config) file=${COMP_WORDS[i + 1]} ;;
		esac
	done
	case $before in
	-c | --config)
		_relay_files "$2"
		;;
	-o | --option)
		compopt -o nospace 2>/dev/null
		_relay_offer "$word" = < <(_relay_keys "$program" "$file")
		;;
	--explain)
		_relay_offer "$word" '' < <(_relay_keys "$program" /dev/null | sed 's/.*\.//' | sort -u)
		;;
	*)
		_relay_offer "$word" '' < <(_relay_options "$program")
		;;
	esac
}

_relay_address()
{
	local part=$1
	compopt -o nospace 2>/dev/null
	# Bash takes the part behind the last colon for the word.
	if [[ ${COMP_WORDS[COMP_CWORD - 1]} == : && ${COMP_WORDS[COMP_CWORD - 2]} == unix ]]; then
		_relay_files "$part"
	else
		_relay_offer "$part" '' <<<$'tcp:\nunix:'
	fi
}

_relaycat_relaypub()
{
	local program=$1 word=$2 before=$3
	case $before in
	--framing)
		_relay_offer "$word" '' < <(printf '%s\n' line u16be u16le u32be u32le
			[[ ${program##*/} == relaycat ]] || printf '%s\n' none relay)
		;;
	--from | --since | --until | --bytes | --timeout | --connect-retry | --positions | --size | --rate | -n | --count)
		COMPREPLY=()
		;;
	--token-file)
		_relay_files "$word"
		;;
	*)
		if [[ $word == -* ]]; then
			_relay_offer "$word" '' < <(_relay_options "$program")
		elif [[ ${program##*/} == relaypub && $before == *[:0-9]* && $before != : ]]; then
			_relay_files "$word" # behind the address
		else
			_relay_address "$word"
		fi
		;;
	esac
}

# Names of units by the configurations that there are: relay, and NAME of relay@NAME.
_relay_units()
{
	local file
	printf 'relay\n'
	for file in /etc/relay/*.ini; do
		file=${file##*/}
		[[ $file == '*.ini' || $file == relay.ini ]] || printf '%s\n' "${file%.ini}"
	done
}

# What the words before the one that is completed say: which relay, and the command.
_relayctl()
{
	local program=$1 word=$2 before=$3 command= which=() i
	word=${word//\\/}
	word=${word#[\"\']}
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-s | --socket | -u | --unit) which=("${COMP_WORDS[i]}" "${COMP_WORDS[++i]}") ;;
		@) which[1]+=@${COMP_WORDS[++i]} ;; # bash takes relay@NAME apart
		--feed | --limit | --interval | --since | --until | --spread | --timeout) ((++i)) ;;
		-*) ;;
		*) : "${command:=${COMP_WORDS[i]}}" ;;
		esac
	done
	COMPREPLY=()
	case $before in
	-s | --socket) _relay_files "$2" ;;
	-u | --unit) _relay_offer "$word" '' < <(_relay_units) ;;
	--feed) _relay_offer "$word" '' < <("$program" "${which[@]}" --timeout 1s feeds --names 2>/dev/null) ;;
	--limit | --interval | --since | --until | --spread | --timeout) ;;
	*)
		case $word:$command in
		-*) _relay_offer "$word" '' < <(_relay_options "$program") ;;
		*:) _relay_offer "$word" '' < <("$program" --help | sed -nE 's/^  ([a-z][a-z-]*) .*  .*/\1/p') ;;
		*:history) _relay_offer "$word" '' <<<$'verify\nexport' ;;
		*:show) _relay_offer "$word" '' <<<$'config\nlimits' ;;
		*:log-level) _relay_offer "$word" '' <<<$'error\nwarn\ninfo\ndebug' ;;
		esac
		;;
	esac
}

complete -F _relay relay
complete -F _relayctl relayctl
complete -F _relaycat_relaypub relaycat relaypub
