"""Binance USD-M futures, simulated: fapi REST, the split market and user streams, the WS API.

There
-----
* REST: ping, time, exchangeInfo, depth, trades, historicalTrades, aggTrades, klines (also mark, index and
  continuous), ticker/24hr, ticker/price (v1, v2), ticker/bookTicker, premiumIndex, fundingRate, fundingInfo,
  openInterest; order (POST GET PUT DELETE), order/test, batchOrders (POST DELETE), openOrder, openOrders, allOrders,
  allOpenOrders, countdownCancelAll, userTrades, forceOrders, income; algoOrder (POST GET DELETE), openAlgoOrders,
  allAlgoOrders, algoOpenOrders; account and balance (v2, v3), accountConfig, symbolConfig, positionRisk (v2, v3),
  commissionRate, leverageBracket, leverage, marginType, positionSide/dual, multiAssetsMargin, adlQuantile,
  apiTradingStatus, rateLimit/order, feeBurn, listenKey.
* Orders: LIMIT and MARKET; GTC, IOC, FOK, GTX; reduceOnly. Conditional ones (STOP, STOP_MARKET, TAKE_PROFIT,
  TAKE_PROFIT_MARKET, TRAILING_STOP_MARKET, closePosition) through the Algo Order API only: elsewhere -4120.
* Self-trade prevention between the orders of a customer: EXPIRE_MAKER (usual), EXPIRE_TAKER, EXPIRE_BOTH, NONE; of
  FOK, GTX and amended orders none. The key's rights under ``/sapi``, which at home has an address of its own.
* Streams: ``/public`` bookTicker, trade, depth, depth5/10/20; ``/market`` aggTrade, kline, miniTicker, ticker,
  markPrice; ``/private`` by listen key: ORDER_TRADE_UPDATE, ACCOUNT_UPDATE, ALGO_UPDATE, ACCOUNT_CONFIG_UPDATE,
  listenKeyExpired. The old paths connect and stay silent.
* Funding: the market's own events; where it has none, every eight hours of the wall clock at a seeded rate around
  0.01 %, or when the control endpoint says `fund`. Each payment moves the next one on by eight hours.

Simplified
----------
* One-way mode only: hedge mode can be switched on while flat, but then every order meets -4061.
* Each position is liquidated by itself at its isolated price, whether its margin is called crossed or isolated, all
  at once, at one maintenance rate; the loss never passes its margin. No margin calls, no auto-deleveraging, no
  insurance fund, no transfers of margin between positions. Funding, profit and fees go to the wallet, not to a
  position's margin.
* An order needs its initial margin and the dearer fee; a leverage above what the symbol allows is refused.
* The mark price is the recorded one, else the mid; the index price is the mark price.
* Orders of customers meet the recorded market only, never each other: `NONE` lets a taker pass its own orders. With
  the other modes what rests has ended before the taker is taken. No GTD, no price match, no portfolio margin, no
  multi-asset margin (it can be switched, and changes nothing), no TRADE_LITE.
* All perpetuals share one quote asset. The book has five levels: recorded depth where there is some, else modelled
  (`engine.sandbox.desk`). Each trade is its own aggregate. Funding before the start is not told.
* countdownCancelAll leaves conditional orders alone; what the exchange does with them is not known.
* Conditional orders and what they turn into share the client's id. Unused parameters are not refused.
"""
