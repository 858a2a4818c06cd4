// A socket between two generations of the proxy: messages with descriptors, one a packet. Also the name under which a process can be found by
// the next one, and files that exist only as descriptors.
// Main thread. Either side may die at any time: that is an error of the next call, never a signal.
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "dataplane/server/restart/descriptor.h"
#include "dataplane/server/restart/message.h"

namespace fairlead::server::restart {

struct Packet {
  Message message;
  std::vector<Descriptor> descriptors;
};

class Channel {
 public:
  static constexpr std::chrono::milliseconds kPatience{5000};

  Channel() = default;
  explicit Channel(Descriptor socket) : socket_(std::move(socket)) {}
  static absl::StatusOr<std::pair<Channel, Channel>> pair();
  // To the process that listens under `name` ("@abstract" or a path). NotFound: there is none. PermissionDenied: it is another user's.
  static absl::StatusOr<Channel> connect(const std::string& name);

  int fd() const { return socket_.get(); }
  bool open() const { return static_cast<bool>(socket_); }
  void close() { socket_.reset(); }
  Descriptor release() { return std::move(socket_); }

  // Waits while the peer's queue is full, `patience` at most.
  absl::Status send(const Message& message, std::span<const int> descriptors = {}, std::chrono::milliseconds patience = kPatience) const;
  // None: nothing is there. Unavailable: the peer has gone.
  absl::StatusOr<std::optional<Packet>> receive() const;
  // Waits for a packet. DeadlineExceeded when none comes.
  absl::StatusOr<Packet> await(std::chrono::milliseconds patience = kPatience) const;

 private:
  Descriptor socket_;
};

// Where a process waits for its successor.
class Rendezvous {
 public:
  // `mode`: permission bits of a path. AlreadyExists: another process waits there.
  static absl::StatusOr<Rendezvous> open(const std::string& name, unsigned mode);
  Rendezvous(Rendezvous&&) = default;
  ~Rendezvous();

  int fd() const { return socket_.get(); }
  const std::string& name() const { return name_; }
  // None: nobody is there, or only somebody of another user.
  std::optional<Channel> accept() const;

 private:
  Rendezvous(std::string name, Descriptor socket) : name_(std::move(name)), socket_(std::move(socket)) {}
  std::string name_;
  Descriptor socket_;
};
// Envoy's --socket-path and --base-id, in a form that no Envoy of the same machine uses.
std::string rendezvous_name(std::string_view socket_path, uint32_t base_id, uint32_t epoch);

// A file in memory with this content, and the content of one (64 MiB at most).
absl::StatusOr<Descriptor> memory_file(std::string_view content);
absl::StatusOr<std::string> read_memory_file(int fd);

}  // namespace fairlead::server::restart
