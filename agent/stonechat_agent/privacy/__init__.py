"""What keeps texts of users private: redaction before anything is written."""

from stonechat_agent.privacy.redactor import KINDS, Redactor

__all__ = ["KINDS", "Redactor"]
