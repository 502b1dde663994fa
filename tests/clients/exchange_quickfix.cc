// An initiator of QuickFIX, driven line by line: what it is told on standard input it does, what it hears goes to standard
// output. C++14, because QuickFIX's headers have throw specifications.
//
//     exchange_quickfix PORT SENDER TARGET DICTIONARY STORE
//
//     in:   start           connect and log on; numbers go on from STORE
//           stop            log out and disconnect
//           cut             disconnect without a word
//           send FIELDS     "35=D|11=a|..." with the next number
//           numbers         what it sends and expects next
//     out:  logon, logout, stopped
//           app FIELDS      an application message from the venue
//           admin FIELDS    a Reject, ResendRequest or Logout from it
//           refused FIELDS  what this side found wrong: its own Reject or BusinessMessageReject
//           numbers OUT IN
//           error TEXT
#include <quickfix/Application.h>
#include <quickfix/FileStore.h>
#include <quickfix/Session.h>
#include <quickfix/SessionSettings.h>
#include <quickfix/SocketInitiator.h>

#include <algorithm>
#include <iostream>
#include <memory>
#include <mutex>
#include <sstream>

namespace {

std::mutex mutex;

void say(const std::string& kind, const std::string& text = "") {
  std::string line = text.empty() ? kind : kind + " " + text;
  std::replace(line.begin(), line.end(), '\x01', '|');
  const std::lock_guard<std::mutex> guard(mutex);
  std::cout << line << std::endl;
}

class Trader : public FIX::Application {
 public:
  void onCreate(const FIX::SessionID&) override {}
  void onLogon(const FIX::SessionID&) override { say("logon"); }
  void onLogout(const FIX::SessionID&) override { say("logout"); }
  void toAdmin(FIX::Message& message, const FIX::SessionID&) override {
    if (type(message) == "3") say("refused", message.toString());
  }
  void toApp(FIX::Message& message, const FIX::SessionID&) throw(FIX::DoNotSend) override {
    if (type(message) == "j") say("refused", message.toString());
  }
  void fromAdmin(const FIX::Message& message, const FIX::SessionID&) throw(FIX::FieldNotFound, FIX::IncorrectDataFormat,
                                                                            FIX::IncorrectTagValue,
                                                                            FIX::RejectLogon) override {
    const std::string kind = type(message);
    if (kind == "3" || kind == "2" || kind == "5") say("admin", message.toString());
  }
  void fromApp(const FIX::Message& message, const FIX::SessionID&) throw(FIX::FieldNotFound, FIX::IncorrectDataFormat,
                                                                          FIX::IncorrectTagValue,
                                                                          FIX::UnsupportedMessageType) override {
    say("app", message.toString());
  }

 private:
  static std::string type(const FIX::Message& message) {
    FIX::MsgType kind;
    message.getHeader().getField(kind);
    return kind;
  }
};

// "35=D|11=a|": the header's are 35, 43 and 97.
FIX::Message message_of(const std::string& text) {
  FIX::Message message;
  std::istringstream fields(text);
  std::string field;
  while (std::getline(fields, field, '|')) {
    const std::size_t equals = field.find('=');
    if (equals == std::string::npos) continue;
    const int tag = std::stoi(field.substr(0, equals));
    const std::string value = field.substr(equals + 1);
    if (tag == 35 || tag == 43 || tag == 97) {
      message.getHeader().setField(tag, value);
    } else {
      message.setField(tag, value);
    }
  }
  return message;
}

}  // namespace

int main(int count, char** words) {
  if (count != 6) {
    std::cerr << "usage: exchange_quickfix PORT SENDER TARGET DICTIONARY STORE\n";
    return 2;
  }
  std::istringstream configuration(std::string("[DEFAULT]\nConnectionType=initiator\nReconnectInterval=1\nHeartBtInt=30\n"
                                               "StartTime=00:00:00\nEndTime=00:00:00\nUseDataDictionary=Y\n"
                                               "SocketNodelay=Y\nSocketConnectHost=127.0.0.1\nSocketConnectPort=") +
                                   words[1] + "\nDataDictionary=" + words[4] + "\nFileStorePath=" + words[5] +
                                   "\n[SESSION]\nBeginString=FIX.4.4\nSenderCompID=" + words[2] +
                                   "\nTargetCompID=" + words[3] + "\n");
  try {
    const FIX::SessionSettings settings(configuration);
    const FIX::SessionID id("FIX.4.4", words[2], words[3]);
    Trader trader;
    FIX::FileStoreFactory store(settings);
    std::unique_ptr<FIX::SocketInitiator> initiator;
    std::string line;
    while (std::getline(std::cin, line)) {
      const std::string verb = line.substr(0, line.find(' '));
      const std::string rest = verb.size() < line.size() ? line.substr(verb.size() + 1) : "";
      if (verb == "start") {
        initiator.reset(new FIX::SocketInitiator(trader, store, settings));
        initiator->start();
      } else if (verb == "stop" || verb == "cut") {
        if (initiator) initiator->stop(verb == "cut");
        initiator.reset();
        say("stopped");
      } else if (verb == "send") {
        FIX::Message message = message_of(rest);
        if (!FIX::Session::sendToTarget(message, id)) say("error", "not sent");
      } else if (verb == "numbers") {
        FIX::Session* session = FIX::Session::lookupSession(id);
        if (session) {
          say("numbers", std::to_string(session->getExpectedSenderNum()) + " " +
                             std::to_string(session->getExpectedTargetNum()));
        }
      } else {
        say("error", "what is " + verb);
      }
    }
  } catch (const std::exception& error) {
    say("error", error.what());
    return 1;
  }
  return 0;
}
