#include "apps/cli/kubectl.h"

#include <unistd.h>

#include <algorithm>
#include <map>

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_replace.h>
#include <absl/strings/str_split.h>

#include "apps/cli/print.h"
#include "base/status.h"
#include "base/strings.h"

namespace fairlead::cli {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr size_t kMostNames = 20;  // in one sentence

// What the chart calls a control plane's pods (helm/fairlead/templates/deployment.yaml); a label that the user gives takes the place of the same one here.
constexpr std::string_view kLabels[] = {"app.kubernetes.io/name=fairlead", "app.kubernetes.io/component=control"};

std::string selector_of(const std::string& given) {
  std::string out = given;
  for (const std::string_view label : kLabels) {
    if (!absl::StrContains(given, label.substr(0, label.find('=')))) absl::StrAppend(&out, out.empty() ? "" : ",", label);
  }
  return out;
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' || c == '_') {
      out.push_back(c);
    } else {
      absl::StrAppend(&out, "%", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
    }
  }
  return out;
}

// The port of --admin-address among a container's words, the last one as the program itself takes it.
void read_port(const doc::Value& container, int& port) {
  constexpr std::string_view kFlag = "--admin-address";
  for (const char* key : {"command", "args"}) {
    const doc::Value* words = container.find(key);
    for (size_t i = 0; words && i < words->size(); ++i) {
      std::string_view address = words->items()[i].as_string();
      if (!address.starts_with(kFlag)) continue;
      address.remove_prefix(kFlag.size());
      if (address.empty() && i + 1 < words->size()) address = words->items()[i + 1].as_string();
      int found = 0;
      if (absl::SimpleAtoi(address.substr(address.rfind(':') + 1), &found) && found > 0 && found < 65536) port = found;
    }
  }
}

// "CrashLoopBackOff: back-off 10s …", or what its conditions say.
std::string why_unready(const doc::Value& pod) {
  const doc::Value* status = pod.find("status");
  if (!status) return "nothing is known of it";
  std::string told;
  for (const char* key : {"reason", "message"}) {
    if (const std::string text = text_at(*status, key); !text.empty()) absl::StrAppend(&told, told.empty() ? "" : ": ", text);
  }
  for (const doc::Value& c : items(*status, "conditions")) {
    if (text_at(c, "type") != "Ready") continue;
    if (text_at(c, "status") == "True") return "";
    const std::string message = text_at(c, "message");
    if (told.empty()) told = message.empty() ? text_at(c, "reason") : message;
  }
  for (const doc::Value& c : items(*status, "containerStatuses")) {
    const std::string reason = text_at(c, "state.waiting.reason"), message = text_at(c, "state.waiting.message");
    if (!reason.empty()) return absl::StrCat(reason, message.empty() ? "" : ": ", message);
  }
  return told.empty() ? absl::StrCat("its phase is ", text_at(*status, "phase")) : told;
}

std::string names_of(const std::vector<Pod>& pods, bool with_reason) {
  std::vector<std::string> out;
  for (const Pod& p : pods) {
    if (out.size() == kMostNames) {
      out.push_back("…");
      break;
    }
    out.push_back(with_reason ? absl::StrCat(p.id(), " (", p.ending ? "is ending" : p.unready, ")") : p.id());
  }
  return absl::StrJoin(out, ", ");
}

}  // namespace

std::string words_of(std::string_view err) {
  std::vector<std::string> lines;
  for (std::string_view line : absl::StrSplit(err, '\n')) {
    // "E1126 20:40:01.123456   12345 portforward.go:413] text"
    if (const size_t head = line.find("] "); line.size() > 5 && std::string_view("IWEF").find(line[0]) != std::string_view::npos &&
                                             absl::ascii_isdigit(line[1]) && absl::ascii_isdigit(line[4]) && head != std::string_view::npos) {
      line.remove_prefix(head + 2);
    }
    std::string text = plain(absl::StripAsciiWhitespace(line));
    if (constexpr std::string_view kQuoted = "\"Unhandled Error\" err=\""; text.starts_with(kQuoted) && text.ends_with('"')) {
      text = absl::StrReplaceAll(text.substr(kQuoted.size(), text.size() - kQuoted.size() - 1), {{"\\\"", "\""}});
    }
    if (!text.empty() && std::find(lines.begin(), lines.end(), text) == lines.end()) lines.push_back(std::move(text));
  }
  constexpr size_t kLast = 3;
  if (lines.size() > kLast) lines.erase(lines.begin(), lines.end() - kLast);
  return absl::StrJoin(lines, "; ");
}

std::vector<Pod> read_pods(const doc::Value& list) {
  std::vector<Pod> out;
  for (const doc::Value& item : items(list, "items")) {
    Pod pod{text_at(item, "metadata.namespace"), text_at(item, "metadata.name"), "", why_unready(item),
            item.find_path("metadata.deletionTimestamp") != nullptr};
    const doc::Value* labels = item.find_path("metadata.labels");
    const doc::Value* instance = labels ? labels->find("app.kubernetes.io/instance") : nullptr;  // its dots are part of the name
    if (instance) pod.instance = instance->as_string();
    if (const doc::Value* spec = item.find("spec")) {
      for (const doc::Value& c : items(*spec, "containers")) read_port(c, pod.admin_port);
    }
    out.push_back(std::move(pod));
  }
  std::sort(out.begin(), out.end(), [](const Pod& a, const Pod& b) { return std::tie(a.name_space, a.name) < std::tie(b.name_space, b.name); });
  return out;
}

absl::StatusOr<Replicas> choose(const std::vector<Pod>& pods, const ClusterOptions& options) {
  const std::string in = options.name_space.empty() ? "in any namespace" : absl::StrCat("in namespace ", options.name_space);
  if (pods.empty()) {
    return absl::NotFoundError(
        absl::StrCat("there is no control plane ", in, ": no pod with the labels ", selector_of(options.labels), " (others are given with --selector)"));
  }
  if (!options.pod.empty()) {
    Replicas one;
    std::vector<std::string> known;
    for (const Pod& p : pods) {
      if (p.name == options.pod || p.id() == options.pod) one.ready.push_back(p);
      known.push_back(p.name);
    }
    if (one.ready.size() == 1) return one;
    if (one.ready.size() > 1)
      return absl::InvalidArgumentError(
          absl::StrCat("several pods are called ", options.pod, ": ", names_of(one.ready, false), "; say which with --namespace"));
    const auto meant = closest(options.pod, {known.begin(), known.end()});
    return absl::NotFoundError(absl::StrCat("no pod \"", options.pod, "\" of a control plane ", in,
                                            meant ? absl::StrCat("; did you mean \"", *meant, "\"?") : "", "; there are: ", names_of(pods, false)));
  }
  std::map<std::pair<std::string, std::string>, std::string> releases;  // namespace, instance
  for (const Pod& p : pods) releases[{p.name_space, p.instance}] = absl::StrCat(p.name_space, "/", p.instance);
  if (releases.size() > 1) {
    std::vector<std::string> all;
    for (const auto& [key, name] : releases) all.push_back(name);
    return absl::InvalidArgumentError(absl::StrCat("there are ", all.size(), " control planes ", in, ": ", absl::StrJoin(all, ", "),
                                                   "; say which with --namespace NAMESPACE, or with --selector app.kubernetes.io/instance=NAME"));
  }
  Replicas replicas;
  for (const Pod& p : pods) (p.unready.empty() && !p.ending ? replicas.ready : replicas.unready).push_back(p);
  if (!replicas.ready.empty()) return replicas;
  return absl::UnavailableError(absl::StrCat("no pod of the control plane is ready: ", names_of(replicas.unready, true), "; --pod asks one all the same"));
}

std::vector<std::string> Kubectl::command(const std::vector<std::string>& words) const {
  std::vector<std::string> out{"kubectl"};
  if (!options_.kubeconfig.empty()) out.push_back("--kubeconfig=" + options_.kubeconfig);
  if (!options_.context.empty()) out.push_back("--context=" + options_.context);
  out.insert(out.end(), words.begin(), words.end());
  return out;
}

absl::StatusOr<std::string> Kubectl::run(const std::vector<std::string>& words) const {
  const bool shared = isatty(STDIN_FILENO);
  absl::StatusOr<std::unique_ptr<Process>> kubectl = Process::start(command(words), shared ? Process::Terminal::kShared : Process::Terminal::kNone);
  if (absl::IsNotFound(kubectl.status()))
    return absl::NotFoundError("kubectl is not on the PATH: a cluster is reached through it (--server asks an address instead)");
  if (!kubectl.ok()) return kubectl.status();
  const seconds patience = shared ? seconds(300) : seconds(60);  // someone may have to log in
  (*kubectl)->read(patience, [] { return false; });
  if ((*kubectl)->succeeded()) return (*kubectl)->out();
  const std::string said = words_of((*kubectl)->err());
  if (!(*kubectl)->ended()) return absl::DeadlineExceededError(absl::StrCat("no answer within ", patience.count(), " s", said.empty() ? "" : ": ", said));
  return absl::UnavailableError(said.empty() ? (*kubectl)->how() : said);
}

absl::StatusOr<Replicas> Kubectl::find() const {
  // one request, without the discovery that `kubectl get pods` begins with
  const std::string path = absl::StrCat("/api/v1/", options_.name_space.empty() ? "" : absl::StrCat("namespaces/", escaped(options_.name_space), "/"),
                                        "pods?labelSelector=", escaped(selector_of(options_.labels)));
  const absl::StatusOr<std::string> text = run({"get", "--raw", path, "--request-timeout=20s"});
  if (absl::IsNotFound(text.status())) return text.status();
  if (!text.ok()) {
    const bool narrower = options_.name_space.empty() && absl::StrContains(text.status().message(), "orbidden");
    return absl::UnavailableError(absl::StrCat("kubectl cannot list the control plane's pods: ", text.status().message(),
                                               narrower ? "; --namespace asks for those of one namespace" : ""));
  }
  FL_ASSIGN_OR_RETURN(const doc::Value list, doc::parse_json(*text, "kubectl"));
  return choose(read_pods(list), options_);
}

absl::StatusOr<std::unique_ptr<Forward>> Kubectl::forward(const Pod& pod) const {
  FL_ASSIGN_OR_RETURN(std::unique_ptr<Process> kubectl,
                      Process::start(command({"port-forward", "--namespace=" + pod.name_space, "--address=127.0.0.1", "--pod-running-timeout=10s",
                                              "pod/" + pod.name, absl::StrCat(":", pod.admin_port)}),
                                     Process::Terminal::kNone));
  return std::unique_ptr<Forward>(new Forward(std::move(kubectl), pod.id()));
}

absl::Status Forward::await() {
  constexpr seconds kPatience{30};
  // "Forwarding from 127.0.0.1:40123 -> 18001"
  constexpr std::string_view kHost = "Forwarding from 127.0.0.1:";
  int port = 0;
  kubectl_->read(kPatience, [&] {
    const std::string_view out = kubectl_->out();
    const size_t at = out.find(kHost), end = at == out.npos ? at : out.find(" -> ", at);
    return end != out.npos && absl::SimpleAtoi(out.substr(at + kHost.size(), end - at - kHost.size()), &port) && port > 0 && port < 65536;
  });
  if (port > 0 && !kubectl_->ended()) {
    address_ = absl::StrCat("127.0.0.1:", port);
    return absl::OkStatus();
  }
  const std::string said = words_of(absl::StrCat(kubectl_->out(), kubectl_->err()));
  return absl::UnavailableError(absl::StrCat("kubectl port-forward to ", pod_, ": ",
                                             !kubectl_->ended() ? absl::StrCat("not there within ", kPatience.count(), " s") : "",
                                             !kubectl_->ended() && !said.empty() ? ": " : "", kubectl_->ended() && said.empty() ? kubectl_->how() : said));
}

std::string Forward::lost() {
  kubectl_->read(seconds(1), [] { return false; });  // the connection ends before kubectl says why, and ends
  const std::string said = words_of(kubectl_->err());
  if (kubectl_->ended()) return absl::StrCat("kubectl port-forward has ended: ", said.empty() ? kubectl_->how() : said);
  return said.empty() ? "kubectl port-forward has nothing to say" : absl::StrCat("kubectl port-forward says: ", said);
}

}  // namespace fairlead::cli
