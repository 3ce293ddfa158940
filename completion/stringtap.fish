# Completion of stringtap in fish: stringtap completion fish | source
function __stringtap_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for line in ($words[1] complete fish -- $words[2..-1] "$current" 2>/dev/null)
        switch $line
            case :files
                __fish_complete_path "$current"
            case :folders
                __fish_complete_directories "$current" ''
            case ':*'
            case '*'
                echo -- $line
        end
    end
end
complete -c stringtap -e
complete -c stringtap -k -f -a '(__stringtap_complete)'
