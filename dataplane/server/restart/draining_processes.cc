// Listening to those that leave (draining_processes.h).
#include "dataplane/server/restart/draining_processes.h"

#include <utility>

#include "base/log.h"
#include "base/status.h"

namespace fairlead::server::restart {

struct DrainingProcesses::One final : net::FdHandler {
  One(DrainingProcesses& owner, DrainingProcess process) : owner(owner), process(std::move(process)), sink(owner.registry_), watch(owner.loop_, *this) {}
  void watch_it() { watch.add(process.channel.fd(), EPOLLIN); }  // level-triggered: one packet a notice
  void on_fd_ready(uint32_t) override;

  DrainingProcesses& owner;
  DrainingProcess process;
  StatisticsSink sink;
  net::FdWatch watch;
  uint64_t connections = 0, memory = 0;
};

void DrainingProcesses::One::on_fd_ready(uint32_t) {
  auto packet = process.channel.receive();
  if (packet.ok() && !packet->has_value()) return;
  absl::Status status = packet.status();
  if (status.ok()) {
    const Packet& got = **packet;
    const auto* told = std::get_if<Statistics>(&got.message);
    if (told == nullptr || got.descriptors.size() != 1) {
      status = absl::InternalError("hot restart: a process that drains sends something else than statistics");
    } else {
      connections = told->connections;
      memory = told->memory;
      auto bytes = read_memory_file(got.descriptors[0].get());
      status = bytes.ok() ? sink.apply(*bytes) : bytes.status();
    }
  }
  if (status.ok()) return;
  if (!absl::IsUnavailable(status)) FL_LOG(warning, "main", status.message());
  owner.ended(*this);
}

DrainingProcesses::DrainingProcesses(net::EventLoop& loop, stats::Registry& registry) : loop_(loop), registry_(registry) {}
DrainingProcesses::~DrainingProcesses() = default;

void DrainingProcesses::add(DrainingProcess process, std::string_view statistics) {
  list_.push_back(std::make_unique<One>(*this, std::move(process)));
  One& one = *list_.back();
  if (absl::Status status = one.sink.apply(statistics); !status.ok()) FL_LOG(warning, "main", status.message());
  if (!paused_) one.watch_it();
}

void DrainingProcesses::ended(One& one) {
  FL_LOG(info, "main", "process ", one.process.pid, " of restart epoch ", one.process.epoch, " has gone");
  one.watch.remove();
  std::erase_if(list_, [&](const auto& other) { return other.get() == &one; });
}

uint64_t DrainingProcesses::connections() const {
  uint64_t n = 0;
  for (const auto& one : list_) n += one->connections;
  return n;
}

uint64_t DrainingProcesses::memory() const {
  uint64_t n = 0;
  for (const auto& one : list_) n += one->memory;
  return n;
}

void DrainingProcesses::pause() {
  if (std::exchange(paused_, true)) return;
  for (const auto& one : list_) one->watch.remove();
}

void DrainingProcesses::resume() {
  if (!std::exchange(paused_, false)) return;
  for (const auto& one : list_) one->watch_it();
}

absl::Status DrainingProcesses::hand_over(const Channel& to) const {
  for (const auto& one : list_) {
    const int fd = one->process.channel.fd();
    FL_RETURN_IF_ERROR(to.send(Draining{one->process.pid, one->process.epoch}, {&fd, 1}));
  }
  return absl::OkStatus();
}

void DrainingProcesses::clear() { list_.clear(); }

}  // namespace fairlead::server::restart
