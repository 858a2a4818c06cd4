// See answers.h.
#include "controlplane/rpc/answers.h"

#include <memory>
#include <utility>

namespace fairlead::rpc {
namespace {

// Deletes itself when its call has ended.
class Answering final : public CallEvents {
 public:
  Answering(Call& call, Asking asking, const Answer& answer) : call_(call), asking_(asking), answer_(answer) {}

  void on_message(std::string_view message) override {
    const absl::StatusOr<std::string> answer = answer_(call_, message);
    if (!answer.ok()) return end(answer.status());
    const bool room = call_.send(net::Buffer(*answer));
    if (asking_ == Asking::kOnce) return end(absl::OkStatus());
    if (room || std::exchange(paused_, true)) return;
    call_.pause_reading();
  }
  void on_writable() override {
    if (std::exchange(paused_, false)) call_.resume_reading();
  }
  void on_client_done() override { end(asking_ == Asking::kOnce ? absl::InvalidArgumentError("no request") : absl::OkStatus()); }
  void on_closed() override { delete this; }
  void on_drain() override { end(absl::UnavailableError("the server is going away")); }

 private:
  void end(const absl::Status& status) {
    call_.finish(status);
    delete this;
  }
  Call& call_;
  const Asking asking_;
  const Answer& answer_;  // the server's, which outlives its calls
  bool paused_ = false;
};

}  // namespace

void add_answers(Server& server, std::string method, Asking asking, Answer answer) {
  auto shared = std::make_shared<const Answer>(std::move(answer));
  server.add(std::move(method), [asking, shared](Call& call) { return new Answering(call, asking, *shared); });
}

}  // namespace fairlead::rpc
