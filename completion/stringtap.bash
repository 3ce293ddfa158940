# Completion of stringtap in bash: source <(stringtap completion bash)
# The words up to the cursor go to `stringtap complete` as they are, and are never read again: a $(…) among them is not run.
_stringtap() {
  # bash takes words apart at = and :, too: what stands together is put together again
  local rest=${COMP_LINE:0:COMP_POINT} words=() n=-1 i bare piece
  for ((i = 0; i <= COMP_CWORD; i++)); do
    bare=${rest#"${rest%%[![:space:]]*}"}
    piece=${COMP_WORDS[i]}
    ((i < COMP_CWORD)) || piece=$bare
    if ((i == 0)) || [[ $bare != "$rest" ]]; then words[++n]=$piece; else words[n]+=$piece; fi
    rest=${bare#"$piece"}
  done
  # and has only what follows the last of them in its hand
  local current=${words[n]} kept=
  if [[ $current != [\"\']* && $current == *[=:]* ]]; then kept=${current%"${current##*[=:]}"}; fi
  local own=${current#"$kept"} candidate about paths= tilde='~'
  COMPREPLY=()
  while IFS=$'\t' read -r candidate about; do
    if [[ $candidate == :* ]]; then
      paths=${candidate#:}
      continue
    fi
    if [[ $current != [\"\']* ]]; then
      printf -v candidate %q "$candidate"
      candidate=${candidate//\\~/$tilde}
    fi
    COMPREPLY+=("${candidate#"$kept"}")
  done < <("$1" complete bash -- "${words[@]:1}" 2>/dev/null)
  case $paths in
    files) compopt -o filenames && mapfile -t COMPREPLY < <(compgen -f -- "$own") ;;
    folders) compopt -o filenames && mapfile -t COMPREPLY < <(compgen -d -- "$own") ;;
  esac
}
complete -o nosort -F _stringtap stringtap
