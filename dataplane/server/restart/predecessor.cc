// Taking over (predecessor.h).
#include "dataplane/server/restart/predecessor.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace fairlead::server::restart {

absl::StatusOr<std::unique_ptr<Predecessor>> Predecessor::greet(Channel channel, const Hello& hello) {
  std::unique_ptr<Predecessor> out(new Predecessor(std::move(channel)));
  const absl::Status sent = out->channel_.send(hello);
  auto answer = out->channel_.await();  // it may have refused before it was greeted
  if (!answer.ok()) return sent.ok() ? answer.status() : sent;
  Packet packet = *std::move(answer);
  if (const auto* refused = std::get_if<Refused>(&packet.message)) return absl::FailedPreconditionError(absl::StrCat("hot restart: refused: ", refused->reason));
  const auto* welcome = std::get_if<Welcome>(&packet.message);
  if (welcome == nullptr) return absl::InternalError("hot restart: the process before answers something else than a welcome");
  out->welcome_ = *welcome;
  for (uint32_t i = 0; i < welcome->passed; ++i) {
    FL_ASSIGN_OR_RETURN(packet, out->channel_.await());
    const auto* sockets = std::get_if<Sockets>(&packet.message);
    if (sockets == nullptr) return absl::InternalError("hot restart: the process before does not send the sockets that it has promised");
    out->passed_.push_back({sockets->type, sockets->address, std::move(packet.descriptors)});
  }
  return out;
}

absl::StatusOr<std::optional<HandedSockets>> Predecessor::sockets(const SocketsWanted& wanted) {
  if (!channel_.open()) return absl::UnavailableError("hot restart: the process before has gone");
  FL_RETURN_IF_ERROR(broken_);
  FL_RETURN_IF_ERROR(channel_.send(wanted));
  // An answer that comes too late would be taken for that to the next question: there is none then.
  auto failed = [this](absl::Status status) {
    if (!absl::IsUnavailable(status)) {  // of that the watch tells
      broken_ = status;
      if (loop_ != nullptr) loop_->post([this] { end(broken_); });
    }
    return status;
  };
  auto answer = channel_.await();
  if (!answer.ok()) return failed(answer.status());
  Packet packet = *std::move(answer);
  if (const auto* refused = std::get_if<Refused>(&packet.message)) return failed(absl::FailedPreconditionError(absl::StrCat("hot restart: refused: ", refused->reason)));
  const auto* sockets = std::get_if<Sockets>(&packet.message);
  if (sockets == nullptr) return failed(absl::InternalError("hot restart: the process before answers something else than sockets"));
  if (packet.descriptors.empty()) return std::nullopt;
  return HandedSockets{sockets->type, sockets->address, std::move(packet.descriptors)};
}

void Predecessor::watch(net::EventLoop& loop, std::function<void(const absl::Status&)> lost) {
  loop_ = &loop;
  lost_ = std::move(lost);
  watch_ = std::make_unique<net::FdWatch>(loop, static_cast<net::FdHandler&>(*this));
  watch_->add(channel_.fd(), EPOLLIN);  // level-triggered: one packet a notice
}

void Predecessor::offer(std::function<void(Takeover)> taken) {
  taken_ = std::move(taken);
  // one that has gone, or has said something before, is noticed by the watch
  [[maybe_unused]] const absl::Status sent = channel_.send(Ready{});
}

void Predecessor::on_fd_ready(uint32_t) {
  auto packet = channel_.receive();
  if (packet.ok() && !packet->has_value()) return;
  if (absl::Status status = packet.ok() ? take(std::move(**packet)) : packet.status(); !status.ok()) end(status);
}

absl::Status Predecessor::take(Packet packet) {
  if (const auto* refused = std::get_if<Refused>(&packet.message)) return absl::FailedPreconditionError(absl::StrCat("hot restart: refused: ", refused->reason));
  const bool one = packet.descriptors.size() == 1;
  if (const auto* draining = std::get_if<Draining>(&packet.message); draining != nullptr && one && taken_) {
    takeover_.older.push_back({draining->pid, draining->epoch, Channel(std::move(packet.descriptors[0]))});
    return absl::OkStatus();
  }
  if (auto* sessions = std::get_if<UdpSessions>(&packet.message); sessions != nullptr && packet.descriptors.size() <= sessions->states.size() && taken_) {
    sessions->states.resize(packet.descriptors.size());
    takeover_.sessions.push_back({sessions->socket, std::move(sessions->states), std::move(packet.descriptors)});
    return absl::OkStatus();
  }
  if (!std::holds_alternative<Taken>(packet.message) || !one || !taken_)
    return absl::InternalError("hot restart: the process before sends something that has no place in a take-over");
  FL_ASSIGN_OR_RETURN(takeover_.statistics, read_memory_file(packet.descriptors[0].get()));
  watch_->remove();
  std::exchange(taken_, nullptr)(std::move(takeover_));
  return absl::OkStatus();
}

void Predecessor::end(const absl::Status& status) {
  if (watch_ != nullptr) watch_->remove();
  channel_.close();
  if (auto lost = std::exchange(lost_, nullptr)) lost(status);
}

absl::StatusOr<DrainingProcess> Predecessor::confirm() {
  FL_RETURN_IF_ERROR(channel_.send(Confirmed{}));
  return DrainingProcess{welcome_.pid, welcome_.epoch, std::move(channel_)};
}

}  // namespace fairlead::server::restart
