// The proxy as a child process.
#include "tests/integration/xds/proxy_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <iterator>
#include <stdexcept>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "base/doc.h"

namespace fairlead::testing {
namespace {

std::string binary() { return std::string(FAIRLEAD_BINARY_DIR) + "/bin/fairlead-proxy"; }

pid_t spawn(const std::vector<std::string>& arguments, const std::string& output) {
  const pid_t pid = fork();
  if (pid != 0) return pid;
  const int fd = open(output.c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0600);
  dup2(fd, 1);
  dup2(fd, 2);
  std::vector<char*> argv;
  const std::string program = binary();
  argv.push_back(const_cast<char*>(program.c_str()));
  for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  execv(program.c_str(), argv.data());
  _exit(127);
}

// Another process cannot be awaited by events: it is asked again until it agrees.
void poll(const std::string& what, const std::function<bool()>& done) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) throw std::runtime_error("waited 10 s for " + what);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

int code_of(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : -1; }

}  // namespace

ProxyProcess::ProxyProcess(const std::string& bootstrap, const std::vector<std::string>& arguments, bool wait_for_admin) {
  directory_.write("bootstrap.yaml", absl::StrCat("admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}\n", bootstrap));
  std::vector<std::string> all = {"-c", directory_.path("bootstrap.yaml"), "--admin-address-path", directory_.path("admin"), "--concurrency", "2"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  pid_ = spawn(all, directory_.path("log"));
  if (!wait_for_admin) return;
  poll("the admin address", [&] {
    if (!running()) throw std::runtime_error("the proxy ended: " + log());
    const auto text = read_file(directory_.path("admin"));
    uint32_t port = 0;
    if (!text.ok() || !absl::SimpleAtoi(text->substr(text->rfind(':') + 1), &port)) return false;
    admin_port_ = static_cast<uint16_t>(port);
    return true;
  });
}

ProxyProcess::~ProxyProcess() {
  if (running()) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
}

bool ProxyProcess::running() {
  if (pid_ <= 0) return false;
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) != pid_) return true;
  exit_code_ = code_of(status);
  pid_ = -1;
  return false;
}

double ProxyProcess::cpu_seconds() const {
  const std::string text = read_file(absl::StrCat("/proc/", pid_, "/stat")).value_or("");
  const std::vector<std::string> fields = absl::StrSplit(text.substr(std::min(text.rfind(')') + 2, text.size())), ' ');
  uint64_t user = 0, system = 0;
  if (fields.size() < 13 || !absl::SimpleAtoi(fields[11], &user) || !absl::SimpleAtoi(fields[12], &system)) throw std::runtime_error("no CPU time of the proxy");
  return static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

double ProxyProcess::allocated() const {
  const auto answer = doc::parse_json(admin("/memory").body, "memory");
  double bytes = 0;
  if (!answer.ok() || !absl::SimpleAtod(std::string(answer->find("allocated")->as_string()), &bytes)) throw std::runtime_error("/memory tells nothing");
  return bytes;
}

size_t ProxyProcess::descriptors() const {
  // A connection that its admin was asked over may stay for a moment: a socket (inode) at its port, in another state than LISTEN (0A).
  poll("its admin connections to be gone", [this] {
    const std::string port = absl::StrFormat(":%04X", admin_port_), table = read_file(absl::StrCat("/proc/", pid_, "/net/tcp")).value_or("");
    for (const std::string_view line : absl::StrSplit(table, '\n')) {
      const std::vector<std::string_view> fields = absl::StrSplit(line, ' ', absl::SkipEmpty());
      if (fields.size() > 9 && absl::EndsWith(fields[1], port) && fields[3] != "0A" && fields[9] != "0") return false;
    }
    return true;
  });
  const std::filesystem::directory_iterator open(absl::StrCat("/proc/", pid_, "/fd"));
  return static_cast<size_t>(std::distance(begin(open), end(open)));
}

void ProxyProcess::signal(int number) { kill(pid_, number); }

int ProxyProcess::wait_exit() {
  poll("the end of the proxy", [&] { return !running(); });
  return exit_code_;
}

std::string ProxyProcess::log() const { return read_file(directory_.path("log")).value_or(""); }

RawResponse ProxyProcess::admin(const std::string& path, const std::string& method) const {
  RawSocket socket = RawSocket::connect(admin_port_);
  socket.send(absl::StrCat(method, " ", path, " HTTP/1.1\r\nhost: admin\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"));
  return socket.read_response();
}

void ProxyProcess::wait_for_state(const std::string& state) {
  poll("state " + state, [&] { return admin("/ready").body == state + "\n"; });
}

std::string ProxyProcess::stat(const std::string& name) const {
  for (const std::string_view line : absl::StrSplit(admin("/stats").body, '\n'))
    if (absl::StartsWith(line, name + ": ")) return std::string(line.substr(name.size() + 2));
  return "";
}

void ProxyProcess::wait_for_stat(const std::string& name, const std::string& value) {
  poll(absl::StrCat(name, " = ", value), [&] { return stat(name) == value; });
}

uint16_t ProxyProcess::port(const std::string& listener) const {
  uint32_t port = 0;
  poll("listener " + listener, [&] {
    for (const std::string_view line : absl::StrSplit(admin("/listeners").body, '\n'))
      if (absl::StartsWith(line, listener + "::") && absl::SimpleAtoi(line.substr(line.rfind(':') + 1), &port)) return true;
    return false;
  });
  return static_cast<uint16_t>(port);
}

RawResponse ProxyProcess::get(const std::string& listener, const std::string& path) const {
  RawSocket socket = RawSocket::connect(port(listener));
  socket.send(absl::StrCat("GET ", path, " HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n"));
  return socket.read_response();
}

void ProxyProcess::wait_for_body(const std::string& listener, const std::string& path, const std::string& body) const {
  poll(absl::StrCat("body ", body), [&] { return get(listener, path).body == body; });
}

Ran run_proxy(const std::vector<std::string>& arguments) {
  TemporaryDirectory directory;
  const pid_t pid = spawn(arguments, directory.path("log"));
  int status = 0;
  poll("the end of the proxy", [&] { return waitpid(pid, &status, WNOHANG) == pid; });
  return {code_of(status), read_file(directory.path("log")).value_or("")};
}

}  // namespace fairlead::testing
