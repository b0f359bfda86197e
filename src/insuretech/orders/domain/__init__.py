"""The rules of orders, pure: no clock, no database, no network.

``lifecycle`` the states and allowed steps · ``purchase`` an order with its payment, policy and cancellation ·
``buying`` what a buyer may do · ``steps`` what the process manager does next and when · ``outcomes`` what came of it ·
``refunds`` what a policy ended early gives back · ``customer`` the policyholder's data · ``explanations`` the sentence
a person is shown · ``problems`` what can stand against a wish.
"""
