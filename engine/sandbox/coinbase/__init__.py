"""Coinbase Advanced Trade, simulated: REST v3 (brokerage), what clients ask of v2, and the two websockets.

There
-----
* REST: accounts (list, one), products (list, one), product_book, ticker, candles, each also in its public ``market/``
  form, best_bid_ask, time, orders (create, preview, batch_cancel, historical/batch, historical/{id},
  historical/fills), transaction_summary, key_permissions, portfolios; v2 accounts, currencies, currencies/crypto,
  exchange-rates, prices, time, because clients ask for them first.
* Orders: market_market_ioc (base or quote size), limit_limit_gtc and gtd (post-only), limit_limit_fok, sor_limit_ioc,
  stop_limit_stop_limit_gtc and gtd. The same client order id again returns the earlier order.
* Websocket: heartbeats, status, ticker, ticker_batch, level2 (sent as l2_data), market_trades, candles, user; one
  `sequence_num` per connection; a user who subscribes again may hear the latest events again.
* ES256 and Ed25519 keys; a JWT per request, bound to method, host and path, valid for at most 120 s.
* USD and USDC pairs share one book and one tape, but not one wallet: BTC-USDC trades on the book of BTC-USD and pays
  in USDC; what one account took of the book under one name is not missing under the other until the next quote.

Not there
---------
* Brackets, attached orders, market stops: refused with UNSUPPORTED_ORDER_CONFIGURATION. There is no native bracket
  to rely on for spot: who wants a stop and a target holds the one and emulates the other.
* Edits, conversions, transfers, futures: 404.
* TLS: a client that speaks https only (coinbase-advanced-py's RESTClient) needs a TLS proxy of its own in front.
* Orders of customers meet the recorded market only; they leave no trace in the public trades. Of two own orders that
  would meet, the smaller is cancelled and the larger loses its size, as the matching engine does it unless told
  otherwise; stops that trigger are not looked at.
* Every request of an address counts alike: 10 a second public, 30 private; subscriptions are not limited, and a
  silent channel is not closed after 90 s.
* Fee tiers: one, the recorded market's rates, for every product. Fees are taken in the quote currency.
* The side of a public trade is the maker's, as Coinbase tells it.
"""
