// PINGs that find out whether the peer still answers (Http2ProtocolOptions.connection_keepalive). Room-private; one worker, owned by its
// session. Only an answer to the PING counts, as in Envoy.
#pragma once

#include "dataplane/http/h2/session.h"
#include "dataplane/net/timer.h"

namespace fairlead::h2 {

class Session;

class Keepalive {
 public:
  Keepalive(Session& session, const Settings& settings, net::EventLoop& loop);
  void on_ping_answered();
  // A stream begins: ask at once when the connection has been quiet for connection_idle_interval.
  void on_stream_begins();
  void on_traffic() { last_heard_ = loop_.now(); }
  void stop();

 private:
  void ping();
  void wait();
  Session& session_;
  const Settings& settings_;
  net::EventLoop& loop_;
  net::Timer send_;
  net::Timer timeout_;
  net::TimePoint last_heard_;
  uint32_t random_;
};

}  // namespace fairlead::h2
