// See credentials.h.
#include "controlplane/serve/credentials.h"

#include <utility>

#include <absl/strings/str_cat.h>

#include "base/file.h"
#include "base/status.h"

namespace fairlead::serve {
namespace {

constexpr size_t kMostBytes = 4 << 20;

absl::StatusOr<std::string> text_of(const std::string& path) {
  if (path.empty()) return std::string();
  return read_file(path, kMostBytes);
}

}  // namespace

absl::StatusOr<Credentials::Texts> Credentials::read(const Files& files) {
  Texts out;
  FL_ASSIGN_OR_RETURN(out.certificate, text_of(files.certificate));
  FL_ASSIGN_OR_RETURN(out.key, text_of(files.key));
  FL_ASSIGN_OR_RETURN(out.client_ca, text_of(files.client_ca));
  FL_ASSIGN_OR_RETURN(out.rules, text_of(files.rules_file));
  FL_ASSIGN_OR_RETURN(out.token_keys, text_of(files.token_keys));
  return out;
}

absl::StatusOr<Credentials::Loaded> Credentials::make(const Files& files, Texts read) {
  Loaded out;
  out.from = std::move(read);
  const Texts& texts = out.from;
  std::vector<Authorization::Line> rules = files.rules;
  const bool ruled = !rules.empty() || !files.rules_file.empty();
  for (Authorization::Line& line : Authorization::lines_of(texts.rules, files.rules_file)) rules.push_back(std::move(line));
  if (ruled) {
    if (rules.empty()) return absl::InvalidArgumentError(absl::StrCat(files.rules_file, ": no rule in it"));  // an emptied file must not let everybody in
    FL_ASSIGN_OR_RETURN(Authorization parsed, Authorization::parse(rules));
    out.authorization = std::make_shared<const Authorization>(std::move(parsed));
  }
  if (!files.token_keys.empty()) {
    FL_ASSIGN_OR_RETURN(TokenVerifier tokens, TokenVerifier::parse(texts.token_keys, files.token_keys, files.token_policy));
    out.tokens = std::make_shared<const TokenVerifier>(std::move(tokens));
  }
  if (files.certificate.empty()) return out;
  tls::ServerOptions options;
  tls::KeyPair pair;
  pair.chain = texts.certificate;
  pair.key = texts.key;
  pair.place = files.certificate;
  pair.key_place = files.key;
  options.certificates.push_back(std::move(pair));
  options.alpn = {"h2"};
  options.parameters.min = tls::Version::kTls12;
  if (!files.client_ca.empty()) {
    tls::Verification& verification = options.verification.emplace();
    verification.trusted_ca = texts.client_ca;
    verification.trusted_ca_place = files.client_ca;
    options.require_client_certificate = files.token_keys.empty();  // else a token will do
  }
  // Nobody resumes: an authority that is no longer trusted, or a certificate that has expired, would be taken at its old word.
  options.tickets = options.session_cache = false;
  FL_ASSIGN_OR_RETURN(out.tls, tls::ServerContext::create(options));
  return out;
}

absl::StatusOr<Credentials::Loaded> Credentials::load(const Files& files) {
  FL_ASSIGN_OR_RETURN(Texts texts, read(files));
  return make(files, std::move(texts));
}

Credentials::Credentials(Files files, const Loaded& in_use, Changed changed, Rejected rejected, std::chrono::milliseconds every)
    : files_(std::move(files)), changed_(std::move(changed)), rejected_(std::move(rejected)), every_(every), in_use_(in_use.from) {
  thread_ = std::thread([this] { run(); });
}

Credentials::~Credentials() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    wake_.notify_one();
  }
  thread_.join();
}

void Credentials::run() {
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, every_, [this] { return stop_; })) {
    lock.unlock();
    look();
    lock.lock();
  }
}

// A certificate and its key are two files: between the writing of the one and of the other they do not fit, which is no news. So what is wrong is
// told when it is the same at the next look.
void Credentials::look() {
  absl::StatusOr<Texts> texts = read(files_);
  absl::Status problem = texts.status();
  if (texts.ok()) {
    if (*texts == in_use_) {
      complaint_.clear();
      return;
    }
    absl::StatusOr<Loaded> loaded = make(files_, *std::move(texts));
    problem = loaded.status();
    if (loaded.ok()) {
      in_use_ = loaded->from;
      complaint_.clear();
      return changed_(*std::move(loaded));
    }
  }
  const std::string text(problem.message());
  const std::string told = absl::StrCat("told: ", text);
  if (complaint_ == told) return;
  if (complaint_ != text) {
    complaint_ = text;
    return;
  }
  complaint_ = told;
  rejected_(problem);
}

}  // namespace fairlead::serve
