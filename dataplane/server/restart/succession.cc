// Being followed (succession.h).
#include "dataplane/server/restart/succession.h"

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"

namespace fairlead::server::restart {
namespace {

constexpr std::chrono::milliseconds kTellFirst{50};
constexpr std::chrono::milliseconds kTellEvery{1000};
constexpr size_t kStatesPerPacket = kLargestPacket - 1024;  // bytes

}  // namespace

struct Succession::Door final : net::FdHandler {
  Door(Succession& owner, int fd) : owner(owner), watch(owner.loop_, *this) { watch.add(fd, EPOLLIN); }
  void on_fd_ready(uint32_t) override {
    if (auto channel = owner.rendezvous_->accept()) owner.come_in(*std::move(channel));
  }
  Succession& owner;
  net::FdWatch watch;
};

Succession::Succession(net::EventLoop& loop, const stats::Registry& registry, Host host)
    : loop_(loop), host_(std::move(host)), statistics_(registry), tell_timer_(loop.timers(), [this] {
        // a queue that is full is read later, or its reader has gone: both can wait until the next time
        if (absl::Status told = tell(std::chrono::milliseconds(0)); absl::IsUnavailable(told)) return;
        tell_timer_.arm(kTellEvery);
      }) {}

Succession::~Succession() = default;

void Succession::wait_at(Rendezvous rendezvous) {
  rendezvous_.emplace(std::move(rendezvous));
  door_ = std::make_unique<Door>(*this, rendezvous_->fd());
}

const std::string& Succession::name() const {
  static const std::string none;
  return rendezvous_ ? rendezvous_->name() : none;
}

void Succession::come_in(Channel channel) {
  if (pending()) {
    [[maybe_unused]] const absl::Status told = channel.send(Refused{"another process is taking over"}, {}, std::chrono::milliseconds(0));
    return;
  }
  begin(std::move(channel), -1);
}

void Succession::begin(Channel channel, pid_t child) {
  channel_ = std::move(channel);
  child_ = child;
  watch_ = std::make_unique<net::FdWatch>(loop_, static_cast<net::FdHandler&>(*this));
  watch_->add(channel_.fd(), EPOLLIN);  // level-triggered: one packet a notice
}

void Succession::on_fd_ready(uint32_t) {
  auto packet = channel_.receive();
  if (packet.ok() && !packet->has_value()) return;
  const absl::Status status = packet.ok() ? take(std::move(**packet)) : packet.status();
  if (status.ok()) return;
  if (state_ != State::handed_over) return fail(status);
  watch_->remove();  // whom to tell has gone: this process drains to its end
  tell_timer_.disarm();
  channel_.close();
}

absl::Status Succession::take(Packet packet) {
  if (const auto* hello = std::get_if<Hello>(&packet.message); hello != nullptr && state_ == State::idle) return greet(*hello);
  if (const auto* wanted = std::get_if<SocketsWanted>(&packet.message); wanted != nullptr && state_ == State::greeted) return answer(*wanted);
  if (std::holds_alternative<Ready>(packet.message) && state_ == State::greeted) return step_back();
  if (std::holds_alternative<Confirmed>(packet.message) && state_ == State::offered) {
    state_ = State::handed_over;
    door_.reset();
    rendezvous_.reset();
    host_.handed_over(hello_);
    tell_timer_.arm(kTellFirst);
    return absl::OkStatus();
  }
  return absl::InternalError("hot restart: the new process says something that has no place in a take-over");
}

absl::Status Succession::greet(const Hello& hello) {
  if (const std::optional<std::string> why = host_.objection()) return absl::FailedPreconditionError(*why);
  hello_ = hello;
  state_ = State::greeted;
  FL_LOG(info, "main", "hot restart: process ", hello.pid, " (", hello.release, ") is about to take over");
  const std::vector<Passed> passed = host_.passed();
  Welcome welcome = host_.welcome();
  welcome.passed = static_cast<uint32_t>(passed.size());
  FL_RETURN_IF_ERROR(channel_.send(welcome));
  for (const Passed& p : passed) FL_RETURN_IF_ERROR(channel_.send(Sockets{p.type, p.address}, p.descriptors));
  return absl::OkStatus();
}

absl::Status Succession::answer(const SocketsWanted& wanted) const {
  std::optional<Answer> found = host_.sockets(wanted);
  if (!found) return channel_.send(Sockets{wanted.type, ""});
  if (found->descriptors.size() > kMostDescriptors)
    return absl::ResourceExhaustedError(absl::StrCat("hot restart: '", found->address, "' has ", found->descriptors.size(), " sockets; no more than ", kMostDescriptors, " can be handed over"));
  return channel_.send(Sockets{wanted.type, found->address}, found->descriptors);
}

absl::Status Succession::step_back() {
  state_ = State::offered;
  host_.stop_accepting();
  FL_RETURN_IF_ERROR(host_.hand_over_draining(channel_));
  host_.figures();
  FL_ASSIGN_OR_RETURN(const Descriptor file, memory_file(statistics_.all()));
  // last, for from here until the successor has heard it nobody reads
  for (const Sessions& sessions : host_.stop_reading()) FL_RETURN_IF_ERROR(hand_over(sessions));
  const int fd = file.get();
  return channel_.send(Taken{}, {&fd, 1});
}

absl::Status Succession::hand_over(const Sessions& sessions) const {
  for (size_t at = 0; at < sessions.states.size();) {
    UdpSessions packet{sessions.socket, {}};
    size_t bytes = 0;
    const size_t first = at;
    while (at < sessions.states.size() && at - first < kMostDescriptors) {
      bytes += sessions.states[at].size() + sizeof(uint32_t);
      if (bytes > kStatesPerPacket && at > first) break;
      packet.states.push_back(sessions.states[at++]);
    }
    FL_RETURN_IF_ERROR(channel_.send(packet, std::span(sessions.descriptors).subspan(first, at - first)));
  }
  return absl::OkStatus();
}

void Succession::cancel(std::string_view why) {
  if (pending()) fail(absl::FailedPreconditionError(absl::StrCat("hot restart: refused: ", why)));
}

void Succession::fail(const absl::Status& status) {
  // so that it ends, and does not take this process for dead
  if (!absl::IsUnavailable(status)) [[maybe_unused]] const absl::Status told = channel_.send(Refused{std::string(status.message())}, {}, std::chrono::milliseconds(0));
  if (watch_ != nullptr) watch_->remove();
  channel_.close();
  child_ = -1;
  state_ = State::idle;
  host_.failed(status);
}

absl::Status Succession::tell(std::chrono::milliseconds patience) {
  if (!channel_.open()) return absl::UnavailableError("hot restart: nobody listens");
  const Statistics figures = host_.figures();
  FL_ASSIGN_OR_RETURN(const Descriptor file, memory_file(statistics_.changes()));
  const int fd = file.get();
  absl::Status sent = channel_.send(figures, {&fd, 1}, patience);
  if (!sent.ok()) statistics_.take_back();
  return sent;
}

void Succession::say_goodbye() {
  if (state_ != State::handed_over) return;
  tell_timer_.disarm();
  [[maybe_unused]] const absl::Status told = tell(std::chrono::milliseconds(1000));
}

}  // namespace fairlead::server::restart
