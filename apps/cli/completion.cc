// Completion scripts: commands, their flags, the values that are known beforehand, and the proxies of the server in question.
#include "apps/cli/commands.h"

namespace fairlead::cli {

std::string completion_script(const std::string& shell) {
  if (shell == "bash") {
    return R"sh(# source <(fairlead completion bash)
_fairlead() {
  local current=${COMP_WORDS[COMP_CWORD]} line=${COMP_LINE:0:COMP_POINT} words given=() server=() flag= flags= word cluster="--kubernetes --context --kubeconfig --namespace --selector --pod"
  read -ra words <<<"$line"  # COMP_WORDS is split at colons too
  [[ $line == *" " ]] || unset "words[-1]"
  for word in "${words[@]:1}"; do
    if [[ $flag ]]; then
      case $flag in --server|--context|--kubeconfig|-n|--namespace|-l|--selector|--pod) server+=("$flag" "$word");; esac
      flag=
    else
      case $word in
        --server=*|--context=*|--kubeconfig=*|--namespace=*|--selector=*|--pod=*|--kubernetes) server+=("$word");;
        --*=*|--strict|--sotw|--delta|--exit-code|--help|--version|-h) ;;
        -*) flag=$word;;
        *) given+=("$word");;
      esac
    fi
  done
  case $flag in
    "") ;;
    -o|--output) COMPREPLY=($(compgen -W "table json yaml" -- "$current")); return;;
    --for) COMPREPLY=($(compgen -W "proxy envoy grpc" -- "$current")); return;;
    --context) COMPREPLY=($(compgen -W "$(kubectl config get-contexts -o name 2>/dev/null)" -- "$current")); return;;
    -f|--file|--old|--kubeconfig|--requests|--access-log|--junit) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$current")); return;;
    *) return;;
  esac
  case ${given[0]:-} in
    "") COMPREPLY=($(compgen -W "status config diff why route-test watch nacks conditions load ready bootstrap check translate completion --server $cluster --output --version --help" -- "$current")); return;;
    bootstrap) flags="--for --cluster --id --gateway --mesh --xds-address --xds-tls-ca --xds-tls-cert --xds-tls-key --xds-tls-server-name --admin-address --report-load --sotw --delta";;
    check) flags="-f --strict -o";;
    translate) flags="-f --scope -o";;
    config) flags="--name --server $cluster -o";;
    diff) flags="-f --old --requests --access-log --exit-code --server $cluster -o";;
    why) flags="-H -f --gateway --server $cluster -o";;
    route-test) flags="-f --gateway --proxy --junit --server $cluster -o";;
    completion) ;;
    ready) flags="--proxy --server $cluster";;
    *) flags="--server $cluster -o";;
  esac
  if [[ $current == -* ]]; then
    COMPREPLY=($(compgen -W "$flags --help" -- "$current"))
    return
  fi
  case ${given[0]:-}:${#given[@]} in
    config:1) COMPREPLY=($(compgen -W "all clusters endpoints listeners routes secrets" -- "$current"));;
    watch:*) COMPREPLY=($(compgen -W "change connected disconnected push accepted refused finding" -- "$current"));;
    route-test:1) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$current"));;
    why:2) COMPREPLY=($(compgen -W "GET HEAD POST PUT PATCH DELETE OPTIONS" -- "$current"));;
    config:2|diff:1|why:1) COMPREPLY=($(compgen -W "$(fairlead "${server[@]}" status -o json 2>/dev/null | sed -n 's/.*"node": "\(.*\)",*/\1/p')" -- "$current"));;
    completion:1) COMPREPLY=($(compgen -W "bash zsh fish" -- "$current"));;
    bootstrap:*|check:*|translate:*) COMPREPLY=($(compgen -W "$flags" -- "$current"));;
  esac
}
complete -F _fairlead fairlead
)sh";
  }
  if (shell == "zsh") {
    return R"sh(#compdef fairlead
# fairlead completion zsh > "${fpath[1]}/_fairlead"
_fairlead_proxies() {
  local flag at=()
  for flag in --server --context --kubeconfig --namespace --selector --pod; do
    (( ${+opt_args[$flag]} )) && at+=($flag ${opt_args[$flag]//\\:/:})
  done
  (( ${+opt_args[--kubernetes]} )) && at+=(--kubernetes)
  compadd -- ${(f)"$(fairlead $at status -o json 2>/dev/null | sed -n 's/.*"node": "\(.*\)",*/\1/p')"}
}
_arguments -C \
  '--server[HOST:PORT of the control plane]:address:' \
  '--kubernetes[in the cluster of the current context]' \
  '--context[of the kubeconfig]:context:($(kubectl config get-contexts -o name 2>/dev/null))' \
  '--kubeconfig[a kubeconfig]:file:_files' \
  '(-n --namespace)'{-n,--namespace}'[of the control plane]:namespace:' \
  '(-l --selector)'{-l,--selector}'[labels of its pods]:labels:' \
  '--pod[this replica alone]:pod:' \
  '(-o --output)'{-o,--output}'[form of the answer]:form:(table json yaml)' \
  '1:command:(status config diff why route-test watch nacks conditions load ready bootstrap check translate completion)' \
  '*::argument:->rest'
case $words[1] in
  config) _arguments '1:type:(all clusters endpoints listeners routes secrets)' '2:proxy:_fairlead_proxies' '--name[one resource]:name:' ;;
  diff) _arguments '1:proxy:_fairlead_proxies' '*-f[files as they are to be]:path:_files' '*--old[files as they were]:path:_files' '--requests:file:_files' '--access-log:file:_files' '--exit-code' ;;
  why) _arguments '1:proxy:_fairlead_proxies' '2:method:(GET HEAD POST PUT PATCH DELETE OPTIONS)' '3:URL:' '*-H[name\: value]:header:' '*-f[file or folder]:path:_files' '--gateway[NS/NAME]:' ;;
  route-test) _arguments '1:table:_files' '*-f[file or folder]:path:_files' '--gateway[NS/NAME]:' '--proxy:proxy:_fairlead_proxies' '--junit:file:_files' ;;
  watch) _arguments '*:kind:(change connected disconnected push accepted refused finding)' ;;
  bootstrap) _arguments '--for[client]:client:(proxy envoy grpc)' '--cluster[node cluster]:' '--id[node id]:' '--gateway[NS/NAME]:' '--mesh[namespace]:' '--xds-address:' '--xds-tls-ca:file:_files' '--xds-tls-cert:file:_files' '--xds-tls-key:file:_files' '--xds-tls-server-name:' '--admin-address:' '--report-load' '--sotw' '--delta' ;;
  check) _arguments '*-f[file or folder]:path:_files' '--strict[warnings are errors]' ;;
  translate) _arguments '*-f[file or folder]:path:_files' '--scope[one scope]:' ;;
  completion) _arguments '1:shell:(bash zsh fish)' ;;
esac
)sh";
  }
  if (shell == "fish") {
    return R"sh(# fairlead completion fish > ~/.config/fish/completions/fairlead.fish
complete -c fairlead -f
complete -c fairlead -n __fish_use_subcommand -a "status config diff why route-test watch nacks conditions load ready bootstrap check translate completion"
complete -c fairlead -l server -x -d "HOST:PORT of the control plane"
complete -c fairlead -l kubernetes -d "in the cluster of the current context"
complete -c fairlead -l context -x -d "of the kubeconfig" -a "(kubectl config get-contexts -o name 2>/dev/null)"
complete -c fairlead -l kubeconfig -r -F
complete -c fairlead -s n -l namespace -x -d "of the control plane"
complete -c fairlead -s l -l selector -x -d "labels of its pods"
complete -c fairlead -l pod -x -d "this replica alone"
complete -c fairlead -s o -l output -x -a "table json yaml"
function __fairlead_proxies
  fairlead status -o json 2>/dev/null | sed -n 's/.*"node": "\(.*\)",*/\1/p'
end
complete -c fairlead -n "__fish_seen_subcommand_from config; and not __fish_seen_subcommand_from all clusters endpoints listeners routes secrets" -a "all clusters endpoints listeners routes secrets"
complete -c fairlead -n "__fish_seen_subcommand_from config; and __fish_seen_subcommand_from all clusters endpoints listeners routes secrets" -a "(__fairlead_proxies)"
complete -c fairlead -n "__fish_seen_subcommand_from config" -l name -x
complete -c fairlead -n "__fish_seen_subcommand_from diff why" -a "(__fairlead_proxies)"
complete -c fairlead -n "__fish_seen_subcommand_from diff" -l old -r -F
complete -c fairlead -n "__fish_seen_subcommand_from diff" -l requests -r -F
complete -c fairlead -n "__fish_seen_subcommand_from diff" -l access-log -r -F
complete -c fairlead -n "__fish_seen_subcommand_from why" -s H -l header -x
complete -c fairlead -n "__fish_seen_subcommand_from why route-test" -l gateway -x
complete -c fairlead -n "__fish_seen_subcommand_from route-test" -F
complete -c fairlead -n "__fish_seen_subcommand_from route-test" -l junit -r -F
complete -c fairlead -n "__fish_seen_subcommand_from watch" -a "change connected disconnected push accepted refused finding"
complete -c fairlead -n "__fish_seen_subcommand_from bootstrap" -l for -x -a "proxy envoy grpc"
complete -c fairlead -n "__fish_seen_subcommand_from bootstrap" -l cluster -x
complete -c fairlead -n "__fish_seen_subcommand_from bootstrap" -l gateway -x
complete -c fairlead -n "__fish_seen_subcommand_from bootstrap" -l mesh -x
complete -c fairlead -n "__fish_seen_subcommand_from bootstrap" -l report-load
complete -c fairlead -n "__fish_seen_subcommand_from check translate why route-test diff" -s f -r -F
complete -c fairlead -n "__fish_seen_subcommand_from completion" -a "bash zsh fish"
)sh";
  }
  return "";
}

}  // namespace fairlead::cli
