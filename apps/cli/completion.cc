// Completion scripts: commands, their flags and the values that are known beforehand.
#include "apps/cli/commands.h"

namespace fairlead::cli {

std::string completion_script(const std::string& shell) {
  if (shell == "bash") {
    return R"sh(# source <(fairlead completion bash)
_fairlead() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} command= word
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in status|config|diff|nacks|conditions|bootstrap|check|translate|completion) command=$word; break;; esac
  done
  case $previous in
    -o|--output) COMPREPLY=($(compgen -W "table json yaml" -- "$current")); return;;
    --for) COMPREPLY=($(compgen -W "proxy envoy grpc" -- "$current")); return;;
    -f|--file) COMPREPLY=($(compgen -f -- "$current")); return;;
    config) COMPREPLY=($(compgen -W "all clusters endpoints listeners routes secrets" -- "$current")); return;;
    completion) COMPREPLY=($(compgen -W "bash zsh fish" -- "$current")); return;;
    diff) COMPREPLY=($(compgen -W "$(fairlead status -o json 2>/dev/null | sed -n 's/.*"node": "\(.*\)",*/\1/p')" -- "$current")); return;;
  esac
  case $command in
    "") COMPREPLY=($(compgen -W "status config diff nacks conditions bootstrap check translate completion --server --output --version --help" -- "$current"));;
    bootstrap) COMPREPLY=($(compgen -W "--for --cluster --id --gateway --xds-address --admin-address --sotw --delta" -- "$current"));;
    check) COMPREPLY=($(compgen -W "-f --strict -o" -- "$current"));;
    translate) COMPREPLY=($(compgen -W "-f --scope -o" -- "$current"));;
    config) COMPREPLY=($(compgen -W "--name -o" -- "$current"));;
  esac
}
complete -F _fairlead fairlead
)sh";
  }
  if (shell == "zsh") {
    return R"sh(#compdef fairlead
# fairlead completion zsh > "${fpath[1]}/_fairlead"
_arguments -C \
  '--server[HOST:PORT of the control plane]:address:' \
  '(-o --output)'{-o,--output}'[form of the answer]:form:(table json yaml)' \
  '1:command:(status config diff nacks conditions bootstrap check translate completion)' \
  '*::argument:->rest'
case $words[1] in
  config) _arguments '1:type:(all clusters endpoints listeners routes secrets)' '--name[one resource]:name:' ;;
  bootstrap) _arguments '--for[client]:client:(proxy envoy grpc)' '--cluster[node cluster]:' '--id[node id]:' '--gateway[NS/NAME]:' '--xds-address:' '--admin-address:' '--sotw' '--delta' ;;
  check) _arguments '*-f[file or folder]:path:_files' '--strict[warnings are errors]' ;;
  translate) _arguments '*-f[file or folder]:path:_files' '--scope[one scope]:' ;;
  completion) _arguments '1:shell:(bash zsh fish)' ;;
esac
)sh";
  }
  if (shell == "fish") {
    return R"sh(# fairlead completion fish > ~/.config/fish/completions/fairlead.fish
complete -c fairlead -f
complete -c fairlead -n __fish_use_subcommand -a "status config diff nacks conditions bootstrap check translate completion"
complete -c fairlead -l server -x -d "HOST:PORT of the control plane"
complete -c fairlead -s o -l output -x -a "table json yaml"
complete -c fairlead -n "__fish_seen_subcommand_from config" -a "all clusters endpoints listeners routes secrets"
complete -c fairlead -n "__fish_seen_subcommand_from bootstrap" -l for -x -a "proxy envoy grpc"
complete -c fairlead -n "__fish_seen_subcommand_from bootstrap" -l cluster -x
complete -c fairlead -n "__fish_seen_subcommand_from bootstrap" -l gateway -x
complete -c fairlead -n "__fish_seen_subcommand_from check translate" -s f -r -F
complete -c fairlead -n "__fish_seen_subcommand_from completion" -a "bash zsh fish"
)sh";
  }
  return "";
}

}  // namespace fairlead::cli
