"""What keeps texts of users private: redaction before anything is written."""

from stonechat_agent.privacy.redactor import KINDS, PatternOff, Redactor

__all__ = ["KINDS", "PatternOff", "Redactor"]
