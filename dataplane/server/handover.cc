// Before and after (handover.h).
#include "dataplane/server/handover.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <random>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "dataplane/server/restart/launch.h"
#include "dataplane/server/server.h"

namespace fairlead::server {

using restart::SocketType;
using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::system_clock;

namespace {
constexpr size_t kLargestState = restart::kLargestPacket / 2;  // of a UDP session. One that says more begins anew
}

Handover::Handover(Server& server)
    : server_(server),
      manager_(restart::ServiceManager::from_environment()),
      draining_(server.loop(), server.stats()),
      succession_(server.loop(), server.stats(), host()),
      watchdog_timer_(server.loop().timers(), [this] { watchdog_tick(); }),
      first_start_(system_clock::now()),
      base_id_(server.options().base_id),
      epoch_(server.options().restart_epoch) {}

Handover::~Handover() = default;

restart::Succession::Host Handover::host() {
  restart::Succession::Host out;
  out.objection = [this] { return objection(); };
  out.welcome = [this] { return welcome(); };
  out.passed = [this] {
    std::vector<restart::Succession::Passed> all;
    for (const auto& p : passed_) {
      all.push_back({p.type, p.address, {}});
      for (const auto& d : p.descriptors) all.back().descriptors.push_back(d.get());
    }
    return all;
  };
  out.sockets = [this](const restart::SocketsWanted& wanted) { return socket_for(wanted); };
  out.stop_accepting = [this] {
    server_.step_back(true);
    server_.admin().share_port();
    draining_.pause();
  };
  out.stop_reading = [this] { return udp_sessions(); };
  out.hand_over_draining = [this](const restart::Channel& to) { return draining_.hand_over(to); };
  out.failed = [this](const absl::Status& status) { successor_failed(status); };
  out.handed_over = [this](const restart::Hello& hello) { handed_over_to(hello); };
  out.figures = [this] {
    server_.refresh_gauges();
    return restart::Statistics{server_.connections(), Server::memory_use().allocated};
  };
  return out;
}

// --- taking over ----------------------------------------------------------------------------------------------------------

absl::Status Handover::start() {
  std::vector<std::string> warnings;
  passed_ = restart::passed_sockets(warnings);
  for (const std::string& w : warnings) FL_LOG(warning, "main", w);
  if (!server_.options().disable_hot_restart) {
    FL_RETURN_IF_ERROR(find_predecessor());
    FL_RETURN_IF_ERROR(wait_for_successors());
  }
  const Options& o = server_.options();
  return o.base_id_path.empty() ? absl::OkStatus() : prefix("--base-id-path", replace_file(o.base_id_path, absl::StrCat(base_id_)));
}

absl::Status Handover::find_predecessor() {
  const Options& o = server_.options();
  std::optional<restart::Channel> channel = restart::launched_by();
  launched_ = channel.has_value();
  if (!launched_) {
    if (epoch_ == 0) return absl::OkStatus();
    auto found = restart::Channel::connect(restart::rendezvous_name(o.socket_path, base_id_, epoch_ - 1));
    if (absl::IsNotFound(found.status()) && o.skip_hot_restart_on_no_parent) {
      FL_LOG(warning, "main", found.status().message(), ": starts without one");
      return absl::OkStatus();
    }
    if (!found.ok()) return prefix(absl::StrCat("--restart-epoch ", epoch_), found.status());
    channel = *std::move(found);
  }
  restart::Hello hello{static_cast<uint32_t>(getpid()), server_.version(), static_cast<uint64_t>(milliseconds(o.parent_shutdown_time).count())};
  auto greeted = restart::Predecessor::greet(*std::move(channel), hello);
  if (absl::IsUnavailable(greeted.status())) {  // it has died meanwhile: all the more somebody must serve
    FL_LOG(warning, "main", greeted.status().message(), ": goes on without it");
    launched_ = false;
    return absl::OkStatus();
  }
  if (!greeted.ok()) return greeted.status();
  predecessor_ = *std::move(greeted);
  predecessor_->watch(server_.loop(), [this](const absl::Status& status) { lost(status); });
  server_.await_sessions();
  const restart::Welcome& from = predecessor_->welcome();
  if (launched_) {
    base_id_ = from.base_id;
    epoch_ = from.epoch + 1;
  }
  generation_ = from.generation + 1;
  first_start_ = system_clock::time_point(milliseconds(from.first_start_ms));
  if (auto passed = predecessor_->take_passed(); passed_.empty()) passed_ = std::move(passed);
  FL_LOG(info, "main", "hot restart: takes over from process ", from.pid, " of restart epoch ", from.epoch);
  return absl::OkStatus();
}

absl::Status Handover::wait_for_successors() {
  const Options& o = server_.options();
  const bool choose = o.use_dynamic_base_id && !launched_;
  std::random_device random;
  absl::Status status;
  for (int tries = choose ? 20 : 1; tries > 0; --tries) {
    if (choose) base_id_ = random() & 0x7fffffff;
    auto place = restart::Rendezvous::open(restart::rendezvous_name(o.socket_path, base_id_, epoch_), o.socket_mode);
    status = place.status();
    if (!status.ok()) continue;
    succession_.wait_at(*std::move(place));
    return absl::OkStatus();
  }
  // Nobody has said that this process is to be followed by --restart-epoch: several proxies of one machine need no base ids.
  if (choose || o.base_id_given || o.restart_epoch > 0 || !absl::IsAlreadyExists(status)) return status;
  FL_LOG(debug, "main", status.message(), ": this process can be followed by SIGUSR2 only");
  return absl::OkStatus();
}

std::optional<net::ListenSocket> Handover::inherited(const std::string& listener, const config::Address& configured, const net::Address& address,
                                                     const net::ListenSocket::Options& how) {
  const SocketType type = how.datagrams ? SocketType::datagram : SocketType::stream;
  const auto passed = std::find_if(passed_.begin(), passed_.end(), [&](const auto& p) { return p.type == type && p.address == address.to_string(); });
  // The service manager's sockets outlive this process, and so do those who wait in them; they would not in further ones beside them.
  net::ListenSocket::Options options = how;
  if (passed != passed_.end()) options.reuse_port = false;
  if (predecessor_ != nullptr) {
    auto found = predecessor_->sockets({type, listener, configured.text()});
    if (!found.ok()) {
      FL_LOG(warning, "main", "listener '", listener, "': ", found.status().message());
    } else if (found->has_value()) {
      if (auto bound = net::Address::parse((*found)->address); bound.ok()) {
        std::vector<int> descriptors;
        for (auto& d : (*found)->descriptors) descriptors.push_back(d.release());
        return net::ListenSocket::adopt(*bound, options, std::move(descriptors));
      }
    }
  }
  if (passed == passed_.end()) return std::nullopt;
  std::vector<int> copies;
  for (const auto& d : passed->descriptors)
    if (const int copy = fcntl(d.get(), F_DUPFD_CLOEXEC, 0); copy >= 0) copies.push_back(copy);
  if (copies.empty()) return std::nullopt;
  FL_LOG(info, "main", "listener '", listener, "': takes ", passed->address, " from the service manager");
  return net::ListenSocket::adopt(address, options, std::move(copies));
}

std::optional<net::Address> Handover::admin_address_waits(const config::Address& configured) const {
  if (predecessor_ == nullptr) return admin_address_;
  const restart::Welcome& from = predecessor_->welcome();
  if (from.admin_bound.empty() || (from.admin_configured != configured.text() && from.admin_bound != configured.text())) return std::nullopt;
  auto bound = net::Address::parse(from.admin_bound);
  return bound.ok() ? std::optional(*bound) : std::nullopt;
}

void Handover::served() {
  if (predecessor_ == nullptr) return alone();
  predecessor_->offer([this](restart::Predecessor::Takeover takeover) { taken(std::move(takeover)); });
}

void Handover::taken(restart::Predecessor::Takeover takeover) {
  server_.take_sessions(std::move(takeover.sessions));  // first: until then nobody reads datagrams
  if (absl::Status status = server_.open_admin(true); !status.ok()) FL_LOG(error, "admin", status.message());
  if (server_.options().skip_hot_restart_parent_stats) takeover.statistics.clear();
  for (restart::DrainingProcess& p : takeover.older) draining_.add(std::move(p), "");
  auto before = predecessor_->confirm();
  const uint32_t pid = predecessor_->welcome().pid;
  if (before.ok()) {
    draining_.add(*std::move(before), takeover.statistics);
  } else {
    restart::StatisticsSink once(server_.stats());
    if (absl::Status status = once.apply(takeover.statistics); !status.ok()) FL_LOG(warning, "main", status.message());
  }
  FL_LOG(info, "main", "hot restart: has taken over from process ", pid, "; ", draining_.size(), " drain");
  server_.loop().post([this] {  // not under its feet
    predecessor_.reset();
    alone();
  });
}

void Handover::lost(const absl::Status& status) {
  if (!absl::IsUnavailable(status)) return server_.fail(status);  // it goes on serving
  FL_LOG(warning, "main", status.message(), ": goes on without it");
  server_.take_sessions(predecessor_->take_sessions());
  server_.loop().post([this] {
    admin_address_ = server_.bootstrap().config->admin.address ? admin_address_waits(*server_.bootstrap().config->admin.address) : std::nullopt;
    predecessor_.reset();
    open_admin(50);
    launched_ = false;  // nobody tells the service manager of this process but itself
    if (server_.all_served()) alone();
  });
}

// A process that has been killed is noticed before all its sockets are closed.
void Handover::open_admin(int tries) {
  const absl::Status opened = server_.open_admin(false);
  if (opened.ok()) return;
  if (tries == 0) {
    FL_LOG(error, "admin", opened.message());
    return;
  }
  admin_timer_ = std::make_unique<net::Timer>(server_.loop().timers(), [this, tries] { server_.loop().post([this, tries] { open_admin(tries - 1); }); });
  admin_timer_->arm(milliseconds(100));
}

// This process serves, and is the only one that accepts.
void Handover::alone() {
  server_.listener_set().own_paths([this](const net::Address& a) {
    return std::any_of(passed_.begin(), passed_.end(), [&](const auto& p) { return p.address == a.to_string(); });
  });
  // A process that was started by the one before is made known by that one, since the service manager knows only that.
  if (!launched_) manager_.tell(absl::StrCat("MAINPID=", getpid(), "\nREADY=1\nSTATUS=serving\n"));
  if (manager_.watchdog()) watchdog_tick();
}

// --- being followed -------------------------------------------------------------------------------------------------------

std::optional<std::string> Handover::objection() const {
  if (predecessor_ != nullptr) return "it is about to take over itself";
  if (!server_.all_served()) return "it does not serve its configuration yet";
  if (server_.ending()) return "it is about to end";
  return std::nullopt;
}

restart::Welcome Handover::welcome() const {
  restart::Welcome out;
  out.pid = static_cast<uint32_t>(getpid());
  out.base_id = base_id_;
  out.epoch = epoch_;
  out.generation = generation_;
  out.first_start_ms = static_cast<uint64_t>(duration_cast<milliseconds>(first_start_.time_since_epoch()).count());
  if (const auto& admin = server_.bootstrap().config->admin.address; admin.has_value()) {
    out.admin_configured = admin->text();
    out.admin_bound = server_.admin_address().to_string();
  }
  return out;
}

std::optional<restart::Succession::Answer> Handover::socket_for(const restart::SocketsWanted& wanted) {
  const auto socket = server_.listeners().socket_of(wanted.listener, wanted.address, wanted.type == SocketType::datagram);
  if (socket == nullptr) return std::nullopt;
  asked_for_.insert(socket->local_address().to_string());
  if (wanted.type == SocketType::datagram) udp_asked_for_.insert(socket->local_address().to_string());
  return restart::Succession::Answer{socket->local_address().to_string(), socket->fds()};
}

std::vector<restart::Succession::Sessions> Handover::udp_sessions() {
  std::vector<restart::Succession::Sessions> out;
  for (UdpSessions& from : server_.hand_over_sessions(udp_asked_for_)) {
    restart::Succession::Sessions& to = out.emplace_back();
    to.socket = from.socket;
    for (stream::HandedSession& one : from.sessions) {
      if (one.state.size() > kLargestState) continue;
      to.states.push_back(std::move(one.state));
      to.descriptors.push_back(one.fd);
    }
  }
  return out;
}

void Handover::successor_failed(const absl::Status& status) {
  FL_LOG(warning, "main", status.message(), ": this process goes on");
  asked_for_.clear();
  udp_asked_for_.clear();
  if (predecessor_ == nullptr) server_.step_back(false);  // else it has not stepped forward yet
  draining_.resume();
  if (server_.all_served() && !server_.ending()) manager_.ready(absl::StrCat("serving; the last hot restart failed: ", status.message()));
}

void Handover::handed_over_to(const restart::Hello& hello) {
  FL_LOG(info, "main", "hot restart: process ", hello.pid, " has taken over; draining");
  if (succession_.child() == static_cast<pid_t>(hello.pid)) manager_.tell(absl::StrCat("MAINPID=", hello.pid, "\nREADY=1\nSTATUS=serving\n"));
  for (const ListenerSet::Row& row : server_.listeners().rows())
    for (const net::Address& a : row.addresses)
      if (!asked_for_.contains(a.to_string())) FL_LOG(warning, "main", "listener '", row.name, "': ", a.to_string(), " is not taken over: it closes");
  watchdog_timer_.disarm();
  draining_.clear();
  server_.leave(milliseconds(hello.parent_shutdown_ms));
}

void Handover::restart() {
  std::optional<std::string> why = objection();
  if (server_.options().disable_hot_restart) why = "--disable-hot-restart is given";
  if (succession_.handed_over()) why = "another process has taken over";
  if (succession_.pending()) why = "another process is about to take over";
  if (getpid() == 1) why = "this is process 1, with which all others of its container would end";
  if (why) {
    FL_LOG(warning, "main", "SIGUSR2: no hot restart: ", *why);
    return;
  }
  manager_.reloading();
  if (!std::exchange(follows_signals_, true)) server_.loop().on_signal(SIGCHLD, [this](int) { reap(); });
  const restart::CommandLine& command = server_.options().command_line;
  auto next = restart::launch(command);
  if (!next.ok()) return successor_failed(next.status());
  FL_LOG(info, "main", "hot restart: has started '", command.program, "' as process ", next->pid);
  children_.insert(next->pid);
  succession_.begin(std::move(next->channel), next->pid);
}

void Handover::reap() {
  for (auto it = children_.begin(); it != children_.end();) {
    int status = 0;
    if (waitpid(*it, &status, WNOHANG) != *it) {
      ++it;
      continue;
    }
    if (WIFSIGNALED(status)) {
      FL_LOG(warning, "main", "process ", *it, " was ended by signal ", WTERMSIG(status));
    } else {
      FL_LOG(info, "main", "process ", *it, " has ended with code ", WEXITSTATUS(status));
    }
    it = children_.erase(it);
  }
}

void Handover::stopping() {
  succession_.cancel("it is about to end");
  watchdog_timer_.disarm();
  if (!succession_.handed_over() && predecessor_ == nullptr) manager_.stopping();
}

void Handover::goodbye() { succession_.say_goodbye(); }

void Handover::watchdog_tick() {
  server_.when_all_workers_turn([this] { manager_.tell("WATCHDOG=1"); });  // one that hangs keeps this from being said
  watchdog_timer_.arm(duration_cast<milliseconds>(*manager_.watchdog()));
}

std::string Handover::version() const { return server_.options().disable_hot_restart ? "disabled" : restart::version_text(); }

seconds Handover::uptime_of_all() const { return std::max(server_.uptime(), duration_cast<seconds>(system_clock::now() - first_start_)); }

}  // namespace fairlead::server
