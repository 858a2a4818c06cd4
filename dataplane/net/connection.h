// One stream socket (or simulated end), owned by one event loop. Reads into pooled blocks and hands them to its events; writes
// collect in output() and leave with one writev at the end of the turn. Watermarks are Envoy's soft limits: strictly above the
// limit is "high", at or below half is "low". Held by a ConnectionPtr: dropping it inside any callback is safe.
// After on_closed() no event follows; close() by the owner also ends in on_closed() (at the end of the close, never inside close()).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/net/address.h"
#include "dataplane/net/buffer.h"
#include "dataplane/net/event_loop.h"
#include "dataplane/net/transport.h"

namespace fairlead::net {

enum class CloseType {
  Flush,         // send what is buffered, then close
  FlushAndWait,  // the same, then half-close and wait up to delayed_close for the peer's FIN, so that it can read the answer
  NoFlush,       // close at once
  Reset,         // close at once with RST
};

enum class CloseReason { Local, Remote, RemoteReset, ConnectFailed, ConnectTimeout, DelayedCloseTimeout };
std::string_view close_reason_name(CloseReason reason);

class ConnectionEvents {
 public:
  virtual ~ConnectionEvents() = default;
  virtual void on_connected() {}  // once, of connections that were not open from the start: clients', and those with a handshake to come
  // All unread bytes; drain what is used, the rest is offered again with the next bytes or after read_enable().
  // `end_stream` (half-close enabled only): the peer has sent FIN and `data` is the last of it.
  virtual void on_data(Buffer& data, bool end_stream) = 0;
  virtual void on_write_high() {}
  virtual void on_write_low() {}
  virtual void on_closed(CloseReason reason) = 0;
};

class Connection;
class Dialing;
using ConnectionPtr = DeferredPtr<Connection>;

// What a client connection needs besides its address, and only until it is connected.
struct Dial {
  // Further addresses of the same peer. They are tried in this order, each 300 ms after the one before or as soon as an attempt fails,
  // while the earlier ones go on; who connects first is the peer. Empty: there is one attempt.
  std::vector<Address> others;
  // What is sent before anything else, made when both addresses are known. Empty: nothing.
  std::function<std::string(const Address& local, const Address& remote)> preamble;
  // Made for the connected descriptor, behind the preamble; the connection is open when its handshake is done. Null: none.
  std::function<std::unique_ptr<Transport>()> transport;
};

class Connection final : public Deferred, private FdHandler {
 public:
  struct Options {
    size_t buffer_limit = 1024 * 1024;                  // Envoy 1.40: 1 MiB, per_connection_buffer_limit_bytes; 0 = none
    std::chrono::milliseconds delayed_close{1000};      // Envoy 1.40: 1 s, HCM delayed_close_timeout
    std::chrono::milliseconds connect_timeout{5000};    // Envoy 1.40: 5 s, Cluster.connect_timeout; a handshake is part of it
    std::chrono::milliseconds handshake_timeout{0};     // of an adopted connection. Envoy 1.40: none, FilterChain.transport_socket_connect_timeout
    bool half_close = false;                            // false: the peer's FIN closes the connection
    bool tcp_no_delay = true;                           // Envoy: always on
    Address bind_to;                                    // source address of a client connection; None: the kernel's choice
  };

  // An accepted, connected, non-blocking descriptor; the connection owns it from here on. Events start with the next turn.
  // With a transport it is connecting until the handshake is done, and then says on_connected(); or ends in ConnectFailed / ConnectTimeout.
  static ConnectionPtr adopt(EventLoop& loop, int fd, const Address& remote, const Options& options, std::unique_ptr<Transport> transport = nullptr);
  // Starts a connect. Ends in on_connected() or on_closed(ConnectFailed / ConnectTimeout), never before this returns.
  static ConnectionPtr connect(EventLoop& loop, const Address& remote, const Options& options);
  static ConnectionPtr connect(EventLoop& loop, const Address& remote, const Options& options, Dial dial);
  // Over a transport instead of a descriptor (see simulated.h).
  static ConnectionPtr over(EventLoop& loop, std::unique_ptr<Transport> transport, const Address& local, const Address& remote,
                            const Options& options);
  ~Connection() override;

  // From inside on_data: what is left of the bytes goes to the new events in the same call.
  void set_events(ConnectionEvents* events) { events_ = events; }

  // Append to output(), then call output_changed() (cheap; as often as wanted in a turn).
  Buffer& output() { return output_; }
  void output_changed() {
    if (!flush_task_.queued() && state_ == State::Open) loop_.run_at_flush(flush_task_);
    if (!above_high_ && options_.buffer_limit != 0 && output_.size() > options_.buffer_limit) went_high();
  }
  void write(Buffer& data) {
    output_.append(data);
    output_changed();
  }
  void write(std::string_view data) {
    output_.append(data);
    output_changed();
  }
  void end_write();  // half-close after what is buffered
  bool above_high_watermark() const { return above_high_; }
  void set_buffer_limit(size_t bytes) { options_.buffer_limit = bytes; }

  void read_disable() { ++read_disabled_; }
  void read_enable();  // undoes one read_disable; unread bytes are offered again in this turn or the next
  bool reading() const { return read_disabled_ == 0; }
  void set_half_close(bool enabled) { options_.half_close = enabled; }
  // False: a peer's FIN that comes while nobody reads waits until what it sent before has been read.
  void set_early_close(bool enabled) { early_close_ = enabled; }

  void close(CloseType type);
  void set_delayed_close(std::chrono::milliseconds timeout) { options_.delayed_close = timeout; }
  bool open() const { return state_ == State::Open; }
  bool connecting() const { return state_ == State::Connecting || state_ == State::Handshaking; }
  bool closing() const { return state_ == State::Flushing || state_ == State::Lingering; }

  EventLoop& loop() const { return loop_; }
  const Address& remote_address() const { return remote_; }  // while addresses are raced, the first
  uint32_t attempts() const { return attempts_; }            // connects begun so far
  const Address& local_address() const;  // asked of the kernel on first use
  // The address that the client connected to, where something before this proxy redirected it: for logs, routing and ORIGINAL_DST.
  void restore_local_address(const Address& original) {
    local_ = original;
    local_restored_ = true;
  }
  bool local_restored() const { return local_restored_; }
  // The client behind a peer that only passes its bytes on.
  void restore_remote_address(const Address& client) { remote_ = client; }
  int fd() const { return watch_.fd(); } // -1 over a simulated transport or when closed
  Transport* transport() const { return transport_.get(); }  // null: plain. Stays until the connection is gone
  std::string_view transport_failure_reason() const;
  uint64_t id() const { return id_; }    // unique in the process
  uint64_t bytes_received() const { return bytes_received_; }
  uint64_t bytes_sent() const { return bytes_sent_; }
  TimePoint created_at() const { return created_at_; }
  // errno behind ConnectFailed and RemoteReset, 0 otherwise.
  int last_error() const { return last_error_; }

  // Readiness as epoll reports it; a transport calls it when it has bytes, room or an end to report.
  void on_fd_ready(uint32_t epoll_events) override;

 private:
  enum class State : uint8_t { Connecting, Handshaking, Open, Flushing, Lingering, Closed };
  Connection(EventLoop& loop, const Address& remote, const Options& options);
  friend struct DeferredDelete;

  enum class ReadResult { More, Drained, End, Error };
  static constexpr size_t kReadPerTurn = 256 * 1024;
  static constexpr uint8_t kMaxReadBlocks = 4;

  void start_connect();
  int open_socket(const Address& to, int& error) const;
  void dialed(int fd, const Address& to, int error);
  void finish_connect();
  void connected();
  void go_on_with_handshake();
  void become_open();
  void read_ready();
  ReadResult read_some(size_t& bytes);
  bool deliver();
  void on_read_end();
  void resume();
  void flush();
  bool write_out();
  void write_failed(int error);
  void went_high();
  void linger();
  void discard_input();
  void start_timer(std::chrono::milliseconds after);
  void on_timeout();
  void end_socket(bool reset);
  void finish(CloseReason reason, bool reset = false);
  void report_closed();

  EventLoop& loop_;
  ConnectionEvents* events_ = nullptr;
  FdWatch watch_;
  State state_ = State::Open;
  bool above_high_ = false;
  bool readable_ = false;       // an edge was seen and not read to its end
  bool peer_ended_ = false;     // FIN announced: read until 0
  bool read_eof_ = false;       // FIN consumed
  bool eof_delivered_ = false;
  bool early_close_ = true;     // the peer's FIN counts although nobody reads
  bool write_blocked_ = false;  // EAGAIN seen; wait for EPOLLOUT
  bool end_write_ = false;
  bool write_ended_ = false;
  bool linger_after_flush_ = false;
  bool redeliver_ = false;      // unread input is to be offered again
  bool reported_ = false;
  bool local_restored_ = false;
  uint8_t read_blocks_ = 1;     // blocks offered to the next readv
  uint8_t attempts_ = 1;
  CloseReason close_reason_ = CloseReason::Local;
  uint32_t read_disabled_ = 0;
  int last_error_ = 0;
  Buffer input_;
  Buffer output_;
  LoopTask flush_task_;
  LoopTask resume_task_;
  std::unique_ptr<Timer> timer_;  // connect or delayed close; most connections never have one
  std::unique_ptr<Transport> transport_;
  DeferredPtr<Dialing> dialing_;   // while connecting, where there is more to it than one address
  uint64_t id_;
  uint64_t bytes_received_ = 0;
  uint64_t bytes_sent_ = 0;
  TimePoint created_at_;
  Options options_;
  Address remote_;
  mutable Address local_;
};

}  // namespace fairlead::net
