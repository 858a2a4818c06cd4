// The xDS services over gRPC: ADS in SotW and Delta, and each type's own service, on one port, with CSDS, LRS, health checking and reflection beside
// them.
// One thread runs the event loop, the Core and everything posted to it; bytes are shared from encoding to socket.
// Owner: the process. post() and ask() may be called from any other thread.
#pragma once

#include <functional>
#include <future>
#include <memory>
#include <string>
#include <utility>

#include <absl/status/statusor.h>

#include "base/clock.h"
#include "controlplane/serve/admission.h"
#include "controlplane/serve/authentication.h"
#include "controlplane/serve/core.h"
#include "controlplane/serve/load_service.h"
#include "controlplane/serve/outflow.h"
#include "dataplane/tls/context.h"

namespace fairlead::serve {

// One question to the serving thread. Dropped unanswered (the server has shut down), it answers with `gone`: nobody waits for ever.
template <typename T>
struct Asked {
  std::promise<T> promise;
  T gone;
  bool answered = false;
  void answer(T value) {
    answered = true;
    promise.set_value(std::move(value));
  }
  ~Asked() {
    if (!answered) promise.set_value(std::move(gone));
  }
};

class XdsServer {
 public:
  struct Options {
    std::string address = "127.0.0.1:18000";  // HOST:PORT, [V6]:PORT or unix:PATH; port 0: the kernel picks
    size_t max_request_bytes = 16 << 20;      // 10^5 names are some MB
    std::chrono::seconds max_connection_age{0};  // give or take a tenth, then GOAWAY: replicas share clients anew. 0: none
    Admission::Options admission;
    Outflow::Options outflow;
    std::shared_ptr<const tls::ServerContext> tls;         // null: plaintext
    std::shared_ptr<const Authorization> authorization;    // null: who may connect may be any node
    std::shared_ptr<const TokenVerifier> tokens;           // null: clients need no token
    LoadService::Options load;
    Core::Options core;
  };
  // Binds and starts serving. A port in use is an error that names the address.
  static absl::StatusOr<std::unique_ptr<XdsServer>> start(Options options, const Clock& clock);
  ~XdsServer();  // shutdown()

  const std::string& address() const;  // with the port the kernel picked

  // Runs `job` on the serving thread, in order. After shutdown() nothing runs.
  void post(std::function<void(Core&)> job);
  // The same, and waits for its result. Not from the serving thread. `gone` is returned when the server has shut down.
  template <typename T>
  T ask(std::function<T(Core&)> question, T gone = {}) {
    auto asked = std::make_shared<Asked<T>>();
    asked->gone = std::move(gone);
    std::future<T> answer = asked->promise.get_future();
    post([asked, question = std::move(question)](Core& core) { asked->answer(question(core)); });
    asked.reset();
    return answer.get();
  }

  // From now on; any thread. Streams there are go on with the TLS and the token they have, and end where the rules no longer let them be who they are.
  void set_credentials(std::shared_ptr<const tls::ServerContext> tls, std::shared_ptr<const Authorization> authorization, std::shared_ptr<const TokenVerifier> tokens = nullptr);

  // Takes no further connection and sends the clients there are elsewhere, one connection after the other within `over`; the others are served on
  // meanwhile. `gone` is called on the serving thread once none is left. Any thread; shutdown() is still to come, and need not wait for it.
  void drain(std::chrono::milliseconds over, std::function<void()> gone);
  // Ends all streams (clients reconnect elsewhere) and stops the thread. Idempotent.
  void shutdown();

 private:
  class Loop;
  explicit XdsServer(std::unique_ptr<Loop> loop);
  std::unique_ptr<Loop> loop_;
};

}  // namespace fairlead::serve
