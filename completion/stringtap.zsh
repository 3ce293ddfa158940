#compdef stringtap
# Completion of stringtap in zsh: source <(stringtap completion zsh), after compinit
# The words up to the cursor go to `stringtap complete` as they are, and are never read again: a $(…) among them is not run.
# zsh itself completes a bare ~ (homes): a filter has to be quoted, as it has to be to run.
_stringtap() {
  local line about paths
  local -a described
  for line in "${(@f)$("$words[1]" complete zsh -- "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    about=${line#*$'\t'}
    if [[ $line == :* ]]; then
      paths=${line#:}
    else
      described+=("${${line%%$'\t'*}//:/\\:}${about:+:$about}")
    fi
  done
  case $paths in
    files) _files ;;
    folders) _files -/ ;;
    *) _describe -V stringtap described ;;
  esac
}
if [[ $funcstack[1] == _stringtap ]]; then _stringtap "$@"; else compdef _stringtap stringtap; fi
