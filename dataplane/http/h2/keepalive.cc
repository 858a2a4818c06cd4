// Keepalive PINGs (keepalive.h).
#include "dataplane/http/h2/keepalive.h"

#include "dataplane/http/h2/core.h"

namespace fairlead::h2 {

Keepalive::Keepalive(Session& session, const Settings& settings, net::EventLoop& loop)
    : session_(session),
      settings_(settings),
      loop_(loop),
      send_(loop.timers(), [this] { ping(); }),
      timeout_(loop.timers(), [this] { session_.keepalive_failed(); }),
      last_heard_(loop.now()),
      random_(static_cast<uint32_t>(session.link().id() * 2654435761u)) {
  if (settings_.keepalive_interval.count() != 0) wait();
}

// Envoy 1.40: the interval and up to interval_jitter of it, so that the PINGs of many connections do not meet.
void Keepalive::wait() {
  random_ = random_ * 1664525u + 1013904223u;
  const auto interval = settings_.keepalive_interval;
  const uint64_t most = static_cast<uint64_t>(interval.count()) * settings_.keepalive_jitter_percent / 100;
  send_.arm(interval + std::chrono::milliseconds(most != 0 ? (random_ >> 8) % (most + 1) : 0));
}

void Keepalive::ping() {
  if (timeout_.armed()) return;
  session_.send_ping();
  timeout_.arm(settings_.keepalive_timeout);
}

void Keepalive::on_ping_answered() {
  if (!timeout_.armed()) return;
  timeout_.disarm();
  if (settings_.keepalive_interval.count() != 0) wait();
}

void Keepalive::on_stream_begins() {
  if (settings_.keepalive_idle_interval.count() != 0 && loop_.now() - last_heard_ >= settings_.keepalive_idle_interval) ping();
}

void Keepalive::stop() {
  send_.disarm();
  timeout_.disarm();
}

}  // namespace fairlead::h2
