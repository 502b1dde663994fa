// The peer of the FIX benchmark: a QuickFIX acceptor with a map book: a map of price to orders on each side. Answers
// each NewOrderSingle by an ExecutionReport, and matches what crosses. No dictionary, no log. C++14, as QuickFIX 1.15's
// headers want it.
//
//     quickfix_peer PORT [DIR]     DIR: messages are kept there for resends (FileStore), as the venue keeps them in its
//                                  journal; without one nothing is kept, the least that QuickFIX can do
#include <cstdio>
#include <cstdlib>
#include <list>
#include <map>
#include <quickfix/Application.h>
#include <quickfix/FileStore.h>
#include <quickfix/MessageCracker.h>
#include <quickfix/NullStore.h>
#include <quickfix/Session.h>
#include <quickfix/SessionSettings.h>
#include <quickfix/SocketAcceptor.h>
#include <quickfix/fix44/ExecutionReport.h>
#include <quickfix/fix44/NewOrderSingle.h>
#include <sstream>
#include <string>
#include <unistd.h>

namespace {

struct Order {
  std::string client_id;
  double quantity;
};

class Market : public FIX::Application, public FIX::MessageCracker {
 public:
  void onCreate(const FIX::SessionID&) override {}
  void onLogon(const FIX::SessionID&) override {}
  void onLogout(const FIX::SessionID&) override {}
  void toAdmin(FIX::Message&, const FIX::SessionID&) override {}
  void toApp(FIX::Message&, const FIX::SessionID&) throw(FIX::DoNotSend) override {}
  void fromAdmin(const FIX::Message&, const FIX::SessionID&) throw(FIX::FieldNotFound, FIX::IncorrectDataFormat,
                                                                   FIX::IncorrectTagValue, FIX::RejectLogon) override {}
  void fromApp(const FIX::Message& message,
               const FIX::SessionID& session) throw(FIX::FieldNotFound, FIX::IncorrectDataFormat,
                                                    FIX::IncorrectTagValue, FIX::UnsupportedMessageType) override {
    crack(message, session);
  }

  void onMessage(const FIX44::NewOrderSingle& order, const FIX::SessionID& session) override {
    FIX::ClOrdID id;
    FIX::Symbol symbol;
    FIX::Side side;
    FIX::OrderQty quantity;
    FIX::Price price;
    order.get(id);
    order.get(symbol);
    order.get(side);
    order.get(quantity);
    order.get(price);
    const bool buy = side == FIX::Side_BUY;
    const uint64_t order_id = ++orders_;
    report(session, id, order_id, symbol, side, quantity, price, FIX::ExecType_NEW, FIX::OrdStatus_NEW, quantity, 0, 0);
    double left = quantity, filled = 0;
    auto& others = buy ? asks_ : bids_;
    while (left > 0 && !others.empty()) {
      auto best = buy ? others.begin() : std::prev(others.end());
      if (buy ? best->first > price : best->first < price) break;
      Order& resting = best->second.front();
      const double size = std::min(left, resting.quantity);
      left -= size;
      filled += size;
      resting.quantity -= size;
      report(session, id, order_id, symbol, side, quantity, price, FIX::ExecType_TRADE,
             left > 0 ? FIX::OrdStatus_PARTIALLY_FILLED : FIX::OrdStatus_FILLED, left, filled, best->first);
      if (resting.quantity == 0) best->second.pop_front();
      if (best->second.empty()) others.erase(best);
    }
    if (left > 0) (buy ? bids_ : asks_)[price].push_back({id, left});
  }

 private:
  void report(const FIX::SessionID& session, const std::string& id, uint64_t order_id, const FIX::Symbol& symbol,
              const FIX::Side& side, double quantity, double price, char type, char status, double left, double filled,
              double average) {
    FIX44::ExecutionReport message(FIX::OrderID(std::to_string(order_id)), FIX::ExecID(std::to_string(++executions_)),
                                   FIX::ExecType(type), FIX::OrdStatus(status), FIX::Side(side), FIX::LeavesQty(left),
                                   FIX::CumQty(filled), FIX::AvgPx(average));
    message.set(FIX::ClOrdID(id));
    message.set(symbol);
    message.set(FIX::OrderQty(quantity));
    message.set(FIX::Price(price));
    message.set(FIX::TransactTime());
    FIX::Session::sendToTarget(message, session);
  }

  std::map<double, std::list<Order>> bids_, asks_;
  uint64_t orders_ = 0, executions_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  const std::string port = argc > 1 ? argv[1] : "9999", directory = argc > 2 ? argv[2] : "";
  std::istringstream text(
      "[DEFAULT]\nConnectionType=acceptor\nSocketAcceptPort=" + port +
      "\nSocketReuseAddress=Y\nSocketNodelay=Y\nStartTime=00:00:00\nEndTime=00:00:00\nUseDataDictionary=N\n"
      "CheckLatency=N\nResetOnLogon=Y\nPersistMessages=" +
      (directory.empty() ? "N" : "Y\nFileStorePath=" + directory) +
      "\n"
      "[SESSION]\nBeginString=FIX.4.4\nSenderCompID=POLIS\nTargetCompID=BRK1\n");
  Market market;
  FIX::SessionSettings settings(text);
  FIX::NullStoreFactory nothing;
  FIX::FileStoreFactory files(settings);
  FIX::MessageStoreFactory& store = directory.empty() ? static_cast<FIX::MessageStoreFactory&>(nothing) : files;
  FIX::SocketAcceptor acceptor(market, store, settings);
  acceptor.start();
  while (true) pause();
}
