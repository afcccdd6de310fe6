"""Names of secrets, and names that only look alike."""

from __future__ import annotations

SECRET_NAMES = """
key api_key apikey apiKey APIKey API-KEY API_KEY x-api-key x-goog-api-key api_keys apikeys openai_api_key OPENAI_API_KEY
secret_key private_key private_keys ssh_key signing_key encryption_key account_key AccountKey azure_key key2
AZURE_OPENAI_KEY STRIPE_SECRET_KEY SECRET_ACCESS_KEY AWS_SECRET_ACCESS_KEY tokenizer_key monkey_key
token access_token accessToken refresh_token id_token auth_token bearer_token session_token hf_token HF_TOKEN
GITHUB_TOKEN SLACK_BOT_TOKEN slacktoken monkey_token
password PASSWORD passwd passwords dbPassword userpassword db_password MYSQL_PASSWORD PGPASSWORD Passwort pass user_pass
userPass dbpass DB_PASS pwd db_pwd passphrase passcode primary_key_password
secret secrets SECRET client_secret app_secret consumer_secret shared_secret jwt_secret webhook_secret MY_SECRET
credential credentials AWS_CREDENTIALS creds db_creds
auth basic_auth httpAuth authorization Authorization authorisation authentication Proxy-Authorization
proxy_authorization bearer cookie cookies Cookie set-cookie Set-Cookie proxy proxies http_proxy HTTPS_PROXY
X-Amz-Signature
""".split()  # noqa: SIM905
HARMLESS_NAMES = """
monkey monkeys donkey turkey whiskey hockey jockey hotkey turnkey keyword keywords keyboard keynote keyframe keystroke
keys key_points key_column KeyError primary_key foreign_key unique_key sort_key group_key partition_key cache_key
public_key join_key idempotency_key x-portkey-provider
tokens max_tokens max_new_tokens tokenizer tokenize tokenization token_count tokenCount token_limit token_budget
token_ids token_type eos_token pad_token stop_token
compass bypass bypass_cache encompass surpass overpass lowpass trespass passenger passport passage passive pass_rate
author authors co_author authority authorized authentic secretary
signature model seed stop top_p temperature df frame name place desk risk ask PWD OLDPWD approximate
""".split()  # noqa: SIM905
