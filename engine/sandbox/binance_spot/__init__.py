"""Binance spot, simulated: REST v3, market streams, the WS API with the user data stream.

There
-----
* REST: ping, time, exchangeInfo, depth, trades, historicalTrades, aggTrades, klines, uiKlines, avgPrice, ticker,
  ticker/24hr, ticker/tradingDay, ticker/price, ticker/bookTicker, account, account/commission, order (POST GET
  DELETE), order/test, order/cancelReplace, openOrders (GET DELETE), allOrders, myTrades, myPreventedMatches,
  rateLimit/order, orderList/oco, order/oco, orderList (GET DELETE), openOrderList, allOrderList; of the wallet what
  clients ask for before they trade.
* Orders: LIMIT, LIMIT_MAKER, MARKET (also by quoteOrderQty), STOP_LOSS, STOP_LOSS_LIMIT, TAKE_PROFIT,
  TAKE_PROFIT_LIMIT, and lists of which one cancels the other (OCO); GTC, IOC, FOK.
* Self-trade prevention between the orders of an account: EXPIRE_MAKER (usual), EXPIRE_TAKER, EXPIRE_BOTH, DECREMENT.
* Several quote assets: one wallet for all pairs of an account; fees in the asset received.
* Dislocations of synthetic pairs, planned or by control (`engine.sandbox.dislocated`); the exchange has no such thing.
* Streams: bookTicker, trade, aggTrade, depth and depth5/10/20 (100 ms and 1 s), miniTicker, ticker, kline.
* WS API: the same calls under their names there, `userDataStream.subscribe.signature`, executionReport,
  listStatus and outboundAccountPosition.

Not there
---------
* Orders that trigger others (OTO, OTOCO, OPO), iceberg orders, trailing stops, amendments, SOR: 404, or -2010 with
  the exchange's sentence; exchangeInfo says the same. `session.logon`, FIX, SBE, the streams of rolling windows and
  of all markets at once.
* Orders of customers meet the recorded market only, never each other: `NONE` lets a taker pass its own orders. They
  leave no trace in the public trades, their trade ids are apart.
* Self-trade prevention looks at takers when they are sent, not at stops when they trigger; what it ends, it ends
  before anything fills. With DECREMENT a resting order loses its place in the queue. No TRANSFER.
* Fees have no BNB discount; `maxNotional` binds limit orders only.
* PERCENT_PRICE_BY_SIDE and NOTIONAL look at the mid, the price or the touch, not at a five-minute average.
* The book has five levels: recorded depth where there is some, else modelled (`engine.sandbox.desk`). Each trade is
  its own aggregate.
* Unused parameters are not refused (-1101, -1104).
"""
